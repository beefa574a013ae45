// Keeps a fixed share of the events, chosen by a key: of one order, one user, one trace, all events or none.
//
// The choice is a hash of the key, so it needs no memory and no chance: every instance, every hub and every repetition
// decides alike. C++ without its library: what a plugin needs of C is in the kit's headers.
#include "filter_plugin.h"

#include "busway.h"

namespace {

constexpr const char *kSchema =
    R"({"type":"object","properties":{)"
    R"("percent":{"type":"integer","minimum":0,"maximum":100,"description":"how many of a hundred keys are kept"},)"
    R"("key":{"type":"string","default":"id","description":"an attribute's name, or a JSON Pointer into the data"})"
    R"(},"required":["percent"],"additionalProperties":false})";

// A text_t that frees itself.
struct Text : text_t {
    Text() : text_t{} {}
    explicit Text(const char *words) : text_t{} { text_say(this, words); }
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
    ~Text() { text_free(this); }
};

struct Sample {
    int64_t percent = -1;
    Text key{"id"};

    // Returns what is wrong with the config, or nullptr.
    const char *read(json_t json) {
        Text name;
        json_object(&json);
        while (json_member(&json, &name)) {
            if (text_is(&name, "percent")) {
                if (!json_integer(&json, &percent) || percent < 0 || percent > 100)
                    return "config: percent must be a whole number from 0 to 100";
            } else if (text_is(&name, "key")) {
                if (!json_string(&json, &key)) return "config: key must be a string";
            } else {
                return "config: it has a key that is neither percent nor key";
            }
        }
        return percent < 0 ? "config: percent is missing; say how many of a hundred are kept" : nullptr;
    }

    bool keeps(const uint8_t *bytes, size_t length) const {
        uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, its bits then mixed, so that near keys part
        for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 0x100000001b3;
        hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
        return (hash >> 33) % 100 < static_cast<uint64_t>(percent);
    }
};

Sample sample;

}  // namespace

void exports_busway_plugin_filter_describe(exports_busway_plugin_filter_about_t *about) {
    filter_plugin_string_dup(&about->summary, "keeps a fixed share of the events, chosen by a key");
    about->config_schema.is_some = true;
    filter_plugin_string_dup(&about->config_schema.val, kSchema);
}

// Returns true if all is well, as every function of a `result` does.
bool exports_busway_plugin_filter_init(filter_plugin_string_t *config, filter_plugin_string_t *error) {
    const char *wrong = sample.read(json_of(config->ptr, config->len));
    filter_plugin_string_free(config);
    if (wrong) filter_plugin_string_dup(error, wrong);
    return !wrong;
}

bool exports_busway_plugin_filter_evaluate(exports_busway_plugin_filter_head_t *head,
                                           exports_busway_plugin_filter_borrow_event_t event,
                                           exports_busway_plugin_filter_verdict_t *verdict,
                                           filter_plugin_string_t *) {
    exports_busway_plugin_filter_head_free(head);
    filter_plugin_string_t place{reinterpret_cast<uint8_t *>(sample.key.at), sample.key.length};
    filter_plugin_string_t key;
    const bool found = sample.key.at[0] == '/' ? busway_plugin_events_method_event_at(event, &place, &key)
                                               : busway_plugin_events_method_event_attribute(event, &place, &key);
    const bool kept = found && sample.keeps(key.ptr, key.len);
    if (found) filter_plugin_string_free(&key);

    verdict->tag = kept ? BUSWAY_PLUGIN_EVENTS_VERDICT_PASS : BUSWAY_PLUGIN_EVENTS_VERDICT_DROP;
    if (!kept) filter_plugin_string_dup(&verdict->val.drop, found ? "not in the sample" : "the event has no such key");
    return true;
}
