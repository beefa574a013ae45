/* Keeps (or drops) the events whose data contains a keyword, byte for byte.
 *
 * `busway.h` is the kit's; `filter_plugin.h` is made from wit/ at build; so is the code that calls these three functions and closes the event after
 * each call. Strings come as pointer and length, without a final zero, and belong to the function that gets them.
 */
#include "filter_plugin.h"

#include <string.h>

#include "busway.h"

static struct {
    text_t keyword;
    bool keep;
} config;

static const char SCHEMA[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"keyword\":{\"type\":\"string\",\"minLength\":1,\"description\":\"the bytes to look for in the data\"},"
    "\"keep\":{\"type\":\"boolean\",\"default\":true,\"description\":\"whether events with the keyword pass (true) or those without (false)\"}"
    "},\"required\":[\"keyword\"],\"additionalProperties\":false}";

void exports_busway_plugin_filter_describe(exports_busway_plugin_filter_about_t *about) {
    filter_plugin_string_dup(&about->summary, "keeps or drops the events whose data contains a keyword");
    about->config_schema.is_some = true;
    filter_plugin_string_dup(&about->config_schema.val, SCHEMA);
}

/* Returns what is wrong with the config, or NULL. */
static const char *read_config(json_t *json) {
    text_t name = {0};
    config.keep = true;
    json_object(json);
    while (json_member(json, &name)) {
        if (text_is(&name, "keyword")) {
            if (!json_string(json, &config.keyword)) return "config: keyword must be a string";
        } else if (text_is(&name, "keep")) {
            if (!json_bool(json, &config.keep)) return "config: keep must be true or false";
        } else {
            return "config: it has a key that is neither keyword nor keep";
        }
    }
    text_free(&name);
    return config.keyword.length ? NULL : "config: keyword is missing; give the text to look for";
}

/* Returns true if all is well, as every function of a `result` does. */
bool exports_busway_plugin_filter_init(filter_plugin_string_t *json, filter_plugin_string_t *error) {
    json_t reader = json_of(json->ptr, json->len);
    const char *wrong = read_config(&reader);
    filter_plugin_string_free(json);
    if (wrong) filter_plugin_string_dup(error, wrong);
    return !wrong;
}

static bool contains(const filter_plugin_list_u8_t *data, const char *word, size_t length) {
    if (length > data->len) return false;
    const uint8_t *last = data->ptr + (data->len - length);
    for (const uint8_t *at = data->ptr; at <= last; at++) {
        at = memchr(at, word[0], (size_t)(last - at) + 1);
        if (!at) return false;
        if (memcmp(at, word, length) == 0) return true;
    }
    return false;
}

bool exports_busway_plugin_filter_evaluate(exports_busway_plugin_filter_head_t *head,
                                           exports_busway_plugin_filter_borrow_event_t event,
                                           exports_busway_plugin_filter_verdict_t *verdict,
                                           filter_plugin_string_t *error) {
    (void)error; /* this filter has no way to fail */
    exports_busway_plugin_filter_head_free(head);

    filter_plugin_list_u8_t data;
    busway_plugin_events_method_event_data(event, &data);
    bool found = contains(&data, config.keyword.at, config.keyword.length);
    filter_plugin_list_u8_free(&data);

    if (found == config.keep) {
        verdict->tag = BUSWAY_PLUGIN_EVENTS_VERDICT_PASS;
    } else {
        verdict->tag = BUSWAY_PLUGIN_EVENTS_VERDICT_DROP;
        filter_plugin_string_dup(&verdict->val.drop, found ? "the data contains the keyword"
                                                           : "the data does not contain the keyword");
    }
    return true;
}
