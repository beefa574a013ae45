/* Posts `{"text": "TYPE SUBJECT"}` to the configured URL.
 *
 * `busway.h` and `http.h` are the kit's; `notifier_plugin.h` is made from the contract at build. Strings come as
 * pointer and length, without a final zero, and belong to the function that gets them.
 */
#include "notifier_plugin.h"

#include "busway.h"
#include "http.h"

static text_t url;

void exports_busway_plugin_notifier_describe(exports_busway_plugin_notifier_about_t *about) {
    notifier_plugin_string_dup(&about->summary, "posts events to a URL");
    about->config_schema.is_some = true;
    notifier_plugin_string_dup(&about->config_schema.val,
        "{\"type\":\"object\",\"required\":[\"url\"],\"properties\":{\"url\":{\"type\":\"string\"}}}");
}

/* Called once per instance, before anything else. On false, the error refuses the subscription, in these words. */
bool exports_busway_plugin_notifier_init(notifier_plugin_string_t *config, notifier_plugin_string_t *error) {
    json_t json = json_of(config->ptr, config->len);
    text_t name = {0}, skipped = {0};
    json_object(&json);
    while (json_member(&json, &name))
        if (!text_is(&name, "url") || !json_string(&json, &url)) json_skip(&json, &skipped);
    text_free(&name);
    text_free(&skipped);
    notifier_plugin_string_free(config);
    if (http_is_url(&url)) return true;
    notifier_plugin_string_dup(error, "config: url must begin with https:// or http://");
    return false;
}

bool exports_busway_plugin_notifier_notify(exports_busway_plugin_notifier_head_t *head,
                                           exports_busway_plugin_notifier_borrow_event_t event,
                                           exports_busway_plugin_notifier_delivery_t *delivery,
                                           exports_busway_plugin_notifier_failure_t *failure) {
    (void)event;
    text_t text = {0}, body = {0};
    text_add(&text, head->type.ptr, head->type.len);
    text_say(&text, " ");
    if (head->subject.is_some) text_add(&text, head->subject.val.ptr, head->subject.val.len);
    exports_busway_plugin_notifier_head_free(head);
    exports_busway_plugin_notifier_delivery_free(delivery);

    text_say(&body, "{\"text\":");
    text_quote(&body, text.at, text.length);
    text_say(&body, "}");
    http_header_t headers[] = {{"content-type", "application/json"}};
    http_post_t post = {url.at, headers, 1, &body};
    bool delivered = http_post(&post, failure);
    text_free(&text);
    text_free(&body);
    return delivered;
}
