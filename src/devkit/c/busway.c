/* Bytes that grow, and JSON: see busway.h. */
#include "busway.h"

#include <stdlib.h>
#include <string.h>

void text_add(text_t *text, const void *bytes, size_t length) {
    if (text->room < text->length + length + 1) {
        text->room = (text->length + length + 1) * 2;
        text->at = realloc(text->at, text->room);
        if (!text->at) abort();
    }
    if (length) memcpy(text->at + text->length, bytes, length);
    text->length += length;
    text->at[text->length] = 0;
}

void text_say(text_t *text, const char *words) { text_add(text, words, strlen(words)); }

void text_number(text_t *text, int64_t number) {
    char digits[20], *first = digits + sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do *--first = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0) text_say(text, "-");
    text_add(text, first, (size_t)(digits + sizeof digits - first));
}

void text_quote(text_t *text, const void *bytes, size_t length) {
    static const char hex[] = "0123456789abcdef";
    text_say(text, "\"");
    for (const unsigned char *at = bytes, *end = at + length; at < end; at++) {
        if (*at == '"' || *at == '\\') {
            text_say(text, "\\");
            text_add(text, at, 1);
        } else if (*at < 0x20) {
            char escape[] = {'\\', 'u', '0', '0', hex[*at >> 4], hex[*at & 15]};
            text_add(text, escape, sizeof escape);
        } else {
            text_add(text, at, 1);
        }
    }
    text_say(text, "\"");
}

bool text_is(const text_t *text, const char *words) {
    size_t length = strlen(words);
    return text->length == length && (length == 0 || memcmp(text->at, words, length) == 0);
}

void text_clear(text_t *text) {
    text->length = 0;
    text_add(text, NULL, 0);
}

void text_free(text_t *text) {
    free(text->at);
    *text = (text_t){0};
}

json_t json_of(const void *bytes, size_t length) {
    const char *at = bytes;
    return (json_t){at, at + length, false};
}

static bool stop(json_t *json) {
    json->wrong = true;
    return false;
}

/* The next character that is no space; 0 at the end. */
static char next(json_t *json) {
    while (json->at < json->end && memchr(" \t\r\n", *json->at, 4)) json->at++;
    return json->wrong || json->at == json->end ? 0 : *json->at;
}

static bool take(json_t *json, char expected) {
    if (next(json) != expected) return false;
    json->at++;
    return true;
}

static bool take_word(json_t *json, const char *word) {
    size_t length = strlen(word);
    if (!next(json) || (size_t)(json->end - json->at) < length || memcmp(json->at, word, length) != 0) return false;
    json->at += length;
    return true;
}

bool json_object(json_t *json) { return take(json, '{'); }

bool json_member(json_t *json, text_t *name) {
    if (take(json, '}')) return false;
    take(json, ',');
    return (json_string(json, name) && take(json, ':')) || stop(json);
}

static bool four_digits(json_t *json, uint32_t *unit) {
    *unit = 0;
    if (json->end - json->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char digit = *json->at++;
        if (digit >= '0' && digit <= '9') *unit = *unit * 16 + (uint32_t)(digit - '0');
        else if ((digit | 32) >= 'a' && (digit | 32) <= 'f') *unit = *unit * 16 + (uint32_t)((digit | 32) - 'a' + 10);
        else return false;
    }
    return true;
}

/* What follows \u, the second half of a pair included, as UTF-8. */
static bool read_unicode(json_t *json, text_t *text) {
    uint32_t point, low;
    if (!four_digits(json, &point)) return false;
    if (point >= 0xd800 && point < 0xdc00) {
        if (json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u') return false;
        json->at += 2;
        if (!four_digits(json, &low) || low < 0xdc00 || low >= 0xe000) return false;
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point >= 0xdc00 && point < 0xe000) {
        return false;
    }
    int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
    char bytes[4];
    for (int i = more; i > 0; i--, point >>= 6) bytes[i] = (char)(0x80 | (point & 0x3f));
    bytes[0] = (char)(first[more] | point);
    text_add(text, bytes, (size_t)more + 1);
    return true;
}

bool json_string(json_t *json, text_t *text) {
    static const char escaped[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (!take(json, '"')) return false;
    text_clear(text);
    while (json->at < json->end) {
        char c = *json->at++;
        if (c == '"') return true;
        if (c != '\\') {
            text_add(text, &c, 1);
            continue;
        }
        if (json->at == json->end) break;
        char kind = *json->at++;
        const char *known = memchr(escaped, kind, sizeof escaped - 1);
        if (known) text_add(text, &meant[known - escaped], 1);
        else if (kind != 'u' || !read_unicode(json, text)) break;
    }
    return stop(json);
}

bool json_bool(json_t *json, bool *value) {
    if (take_word(json, "true")) return *value = true, true;
    if (take_word(json, "false")) return *value = false, true;
    return false;
}

bool json_integer(json_t *json, int64_t *value) {
    json_t ahead = *json;
    bool negative = take(&ahead, '-');
    const char *first = ahead.at;
    uint64_t sum = 0;
    for (; ahead.at < ahead.end && *ahead.at >= '0' && *ahead.at <= '9'; ahead.at++) {
        if (sum > (INT64_MAX - 9) / 10) return false;
        sum = sum * 10 + (uint64_t)(*ahead.at - '0');
    }
    if (ahead.at == first || (ahead.at < ahead.end && memchr(".eE", *ahead.at, 3))) return false;
    *value = negative ? -(int64_t)sum : (int64_t)sum;
    *json = ahead;
    return true;
}

bool json_skip(json_t *json, text_t *raw) {
    if (!next(json)) return stop(json);
    const char *first = json->at;
    text_t string = {0};
    int depth = 0;
    do {
        char c = next(json);
        if (!c) break;
        if (c == '"') {
            if (!json_string(json, &string)) break;
            continue;
        }
        if (depth == 0 && memchr(",]}:", c, 4)) break;
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        json->at++;
    } while (depth > 0 || (json->at < json->end && !memchr(",]} \t\r\n", *json->at, 7)));
    text_free(&string);
    if (depth != 0 || json->wrong || json->at == first) return stop(json);
    text_clear(raw);
    text_add(raw, first, (size_t)(json->at - first));
    return true;
}
