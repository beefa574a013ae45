// Drops the events whose data says `"test": true`.
//
// `busway.h` is the kit's; `filter_plugin.h` is made from the contract at build. Strings come as pointer and length,
// without a final zero, and belong to the function that gets them.
#include "filter_plugin.h"

#include "busway.h"

#include <string.h>

void exports_busway_plugin_filter_describe(exports_busway_plugin_filter_about_t *about) {
    filter_plugin_string_dup(&about->summary, "drops what is marked as a test");
    about->config_schema.is_some = false;
}

// Called once per instance, before anything else. On false, the error refuses the subscription, in these words.
bool exports_busway_plugin_filter_init(filter_plugin_string_t *config, filter_plugin_string_t *error) {
    (void)error;
    filter_plugin_string_free(config);
    return true;
}

bool exports_busway_plugin_filter_evaluate(exports_busway_plugin_filter_head_t *head,
                                           exports_busway_plugin_filter_borrow_event_t event,
                                           exports_busway_plugin_filter_verdict_t *verdict,
                                           filter_plugin_string_t *error) {
    (void)error;
    exports_busway_plugin_filter_head_free(head);
    filter_plugin_string_t pointer, value;
    filter_plugin_string_set(&pointer, "/test");
    bool test = false;
    if (busway_plugin_events_method_event_at(event, &pointer, &value)) {
        test = value.len == 4 && memcmp(value.ptr, "true", 4) == 0;
        filter_plugin_string_free(&value);
    }
    verdict->tag = test ? BUSWAY_PLUGIN_EVENTS_VERDICT_DROP : BUSWAY_PLUGIN_EVENTS_VERDICT_PASS;
    if (test) filter_plugin_string_dup(&verdict->val.drop, "a test");
    return true;
}
