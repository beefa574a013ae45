/* Writes a number of each event to a time-series database, as a line of InfluxDB's protocol (which VictoriaMetrics,
 * QuestDB and Telegraf take too): `measurement,type=…,source=… value=42`.
 *
 * `busway.h` and `http.h` are the kit's; `notifier_plugin.h` is made from wit/ at build. Strings come as pointer and
 * length, without a final zero, and belong to the function that gets them.
 */
#include "notifier_plugin.h"

#include "busway.h"
#include "http.h"

#include <string.h>

static struct {
    text_t url, measurement, pointer, authorization;
} config;

static const char SCHEMA[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"url\":{\"type\":\"string\",\"pattern\":\"^https?://\",\"description\":\"where lines are written, such as http://127.0.0.1:8086/api/v2/write?bucket=events&org=home\"},"
    "\"measurement\":{\"type\":\"string\",\"minLength\":1,\"default\":\"events\",\"description\":\"the series to write to\"},"
    "\"pointer\":{\"type\":\"string\",\"pattern\":\"^/\",\"description\":\"JSON Pointer to the number; without it, every event counts 1\"},"
    "\"authorization\":{\"type\":\"string\",\"writeOnly\":true,\"description\":\"the header's value, such as Token abc\"}"
    "},\"required\":[\"url\"],\"additionalProperties\":false}";

void exports_busway_plugin_notifier_describe(exports_busway_plugin_notifier_about_t *about) {
    notifier_plugin_string_dup(&about->summary, "writes a number of each event to a time-series database");
    about->config_schema.is_some = true;
    notifier_plugin_string_dup(&about->config_schema.val, SCHEMA);
}

/* Returns what is wrong with the config, or NULL. */
static const char *read_config(json_t *json) {
    text_t name = {0};
    text_say(&config.measurement, "events");
    json_object(json);
    while (json_member(json, &name)) {
        text_t *into = text_is(&name, "url")             ? &config.url
                       : text_is(&name, "measurement")   ? &config.measurement
                       : text_is(&name, "pointer")       ? &config.pointer
                       : text_is(&name, "authorization") ? &config.authorization
                                                         : NULL;
        if (!into) return "config: it has a key that is none of url, measurement, pointer and authorization";
        if (!json_string(json, into)) return "config: every setting is a string";
    }
    text_free(&name);
    return http_is_url(&config.url) ? NULL : "config: url is missing; it begins with http:// or https://";
}

/* Returns true if all is well, as every function of a `result` does. */
bool exports_busway_plugin_notifier_init(notifier_plugin_string_t *text, notifier_plugin_string_t *error) {
    json_t json = json_of(text->ptr, text->len);
    const char *wrong = read_config(&json);
    notifier_plugin_string_free(text);
    if (wrong) notifier_plugin_string_dup(error, wrong);
    return !wrong;
}

/* A tag's value: what parts a line is escaped; a line end cannot be. */
static void add_tag(text_t *line, const char *name, const notifier_plugin_string_t *value) {
    if (value->len == 0) return;
    text_say(line, ",");
    text_say(line, name);
    text_say(line, "=");
    for (size_t i = 0; i < value->len; i++) {
        if (memchr(", =", value->ptr[i], 3)) text_say(line, "\\");
        text_add(line, value->ptr[i] < ' ' ? (const void *)"_" : &value->ptr[i], 1);
    }
}

/* Adds the number, or says that there is none. */
static bool add_value(text_t *line, exports_busway_plugin_notifier_borrow_event_t event) {
    if (config.pointer.length == 0) return text_say(line, " value=1"), true;
    notifier_plugin_string_t pointer = {(uint8_t *)config.pointer.at, config.pointer.length}, found;
    if (!busway_plugin_events_method_event_at(event, &pointer, &found)) return false;
    /* JSON text: a number begins so, and its form is one that the line's protocol reads. */
    bool number = memchr("-0123456789", found.ptr[0], 11) != NULL;
    if (number) {
        text_say(line, " value=");
        text_add(line, found.ptr, found.len);
    }
    notifier_plugin_string_free(&found);
    return number;
}

bool exports_busway_plugin_notifier_notify(exports_busway_plugin_notifier_head_t *head,
                                           exports_busway_plugin_notifier_borrow_event_t event,
                                           exports_busway_plugin_notifier_delivery_t *delivery,
                                           exports_busway_plugin_notifier_failure_t *failure) {
    text_t line = {0};
    text_add(&line, config.measurement.at, config.measurement.length);
    add_tag(&line, "type", &head->type);
    add_tag(&line, "source", &head->source);
    if (head->subject.is_some) add_tag(&line, "subject", &head->subject.val);
    exports_busway_plugin_notifier_head_free(head);
    exports_busway_plugin_notifier_delivery_free(delivery);

    bool delivered = add_value(&line, event);
    if (delivered) {
        http_header_t headers[] = {{"content-type", "text/plain; charset=utf-8"}, {"authorization", config.authorization.at}};
        http_post_t post = {config.url.at, headers, config.authorization.length ? 2 : 1, &line};
        delivered = http_post(&post, failure);
    } else {
        *failure = (exports_busway_plugin_notifier_failure_t){.retry = false};
        notifier_plugin_string_dup(&failure->reason, "there is no number at the pointer");
    }
    text_free(&line);
    return delivered;
}
