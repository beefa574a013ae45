/* What a plugin in C or C++ may use of ours: bytes that grow, and JSON. Made for configs and small bodies.
 *
 * There is no way to run out of memory but to trap, which costs the instance and nothing else; so nothing here returns
 * an error for it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that grow; all zeros is the empty one. `at[length]` is always 0 once there is something. */
typedef struct {
    char *at;
    size_t length, room;
} text_t;

void text_add(text_t *text, const void *bytes, size_t length);
/* Adds a C string. */
void text_say(text_t *text, const char *words);
/* Adds a number in decimal. */
void text_number(text_t *text, int64_t number);
/* Adds a JSON string: quoted and escaped. */
void text_quote(text_t *text, const void *bytes, size_t length);
bool text_is(const text_t *text, const char *words);
/* Empties it and keeps its room. */
void text_clear(text_t *text);
void text_free(text_t *text);

/* Reads JSON from left to right. What does not fit sets `wrong`, and from then on nothing is found. */
typedef struct {
    const char *at, *end;
    bool wrong;
} json_t;

json_t json_of(const void *bytes, size_t length);
/* Steps into an object; then each call of `json_member` reads a name, until it returns false. Read its value, or skip
 * it, before the next call. */
bool json_object(json_t *json);
bool json_member(json_t *json, text_t *name);
/* The value here, if it is of this kind; if not, nothing is read. What `text` held goes. */
bool json_string(json_t *json, text_t *text);
bool json_bool(json_t *json, bool *value);
/* Whole numbers only. */
bool json_integer(json_t *json, int64_t *value);
/* Any value, as the JSON it is. */
bool json_skip(json_t *json, text_t *raw);

#ifdef __cplusplus
}
#endif
