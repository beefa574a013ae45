/* Reads one flat JSON object. The hub has parsed it already, so it is well-formed; what can be wrong is what is in it. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *at, *end;
} text_t;

static void skip_space(text_t *text) {
    while (text->at < text->end && memchr(" \t\r\n", *text->at, 4)) text->at++;
}

/* Steps over the character if it comes next. */
static bool take(text_t *text, char expected) {
    skip_space(text);
    if (text->at == text->end || *text->at != expected) return false;
    text->at++;
    return true;
}

static bool take_word(text_t *text, const char *word) {
    skip_space(text);
    size_t length = strlen(word);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0) return false;
    text->at += length;
    return true;
}

/* The four digits of \uXXXX as UTF-8; a half of a surrogate pair is refused. */
static bool read_unicode(text_t *text, char *out, size_t *length) {
    uint32_t point = 0;
    if (text->end - text->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char digit = *text->at++;
        if (digit >= '0' && digit <= '9') point = point * 16 + (uint32_t)(digit - '0');
        else if ((digit | 32) >= 'a' && (digit | 32) <= 'f') point = point * 16 + (uint32_t)((digit | 32) - 'a' + 10);
        else return false;
    }
    if (point >= 0xd800 && point < 0xe000) return false;
    if (point < 0x80) {
        out[(*length)++] = (char)point;
    } else if (point < 0x800) {
        out[(*length)++] = (char)(0xc0 | point >> 6);
        out[(*length)++] = (char)(0x80 | (point & 0x3f));
    } else {
        out[(*length)++] = (char)(0xe0 | point >> 12);
        out[(*length)++] = (char)(0x80 | (point >> 6 & 0x3f));
        out[(*length)++] = (char)(0x80 | (point & 0x3f));
    }
    return true;
}

/* A JSON string into memory of its own. What is read never gets longer, so what is left of the text is room enough. */
static char *read_string(text_t *text, size_t *length) {
    static const char escaped[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (!take(text, '"')) return NULL;
    char *out = malloc((size_t)(text->end - text->at));
    if (!out) return NULL;
    *length = 0;
    while (text->at < text->end && *text->at != '"') {
        char next = *text->at++;
        if (next == '\\' && text->at < text->end) {
            char kind = *text->at++;
            const char *known = memchr(escaped, kind, sizeof escaped - 1);
            if (known) out[(*length)++] = meant[known - escaped];
            else if (kind != 'u' || !read_unicode(text, out, length)) break;
        } else {
            out[(*length)++] = next;
        }
    }
    if (take(text, '"')) return out;
    free(out);
    return NULL;
}

static bool is(const char *name, size_t length, const char *expected) {
    return length == strlen(expected) && memcmp(name, expected, length) == 0;
}

static const char *read_member(config_t *config, text_t *text) {
    size_t length;
    char *name = read_string(text, &length);
    if (!name || !take(text, ':')) return "config: not a JSON object";
    const char *wrong = NULL;
    if (is(name, length, "keyword")) {
        config->keyword = read_string(text, &config->length);
        if (!config->keyword) wrong = "config: keyword must be a string (characters past U+FFFF written as themselves)";
    } else if (is(name, length, "keep")) {
        config->keep = take_word(text, "true");
        if (!config->keep && !take_word(text, "false")) wrong = "config: keep must be true or false";
    } else {
        wrong = "config: it has a key that is neither keyword nor keep";
    }
    free(name);
    return wrong;
}

const char *config_read(config_t *config, const char *json, size_t length) {
    text_t text = {json, json + length};
    *config = (config_t){.keep = true};
    if (!take(&text, '{')) return "config: not a JSON object";
    if (!take(&text, '}')) {
        do {
            const char *wrong = read_member(config, &text);
            if (wrong) return wrong;
        } while (take(&text, ','));
        if (!take(&text, '}')) return "config: not a JSON object";
    }
    if (!config->keyword || config->length == 0) return "config: keyword is missing; give the text to look for";
    return NULL;
}
