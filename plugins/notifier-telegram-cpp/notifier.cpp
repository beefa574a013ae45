// Sends events to a Telegram chat: the type in one line, the subject in the next, then a value of the data if one is
// asked for.
//
// C++ without its library: `busway.h` and `http.h` are the kit's, `notifier_plugin.h` is made from wit/ at build.
#include "notifier_plugin.h"

#include "busway.h"
#include "http.h"

namespace {

constexpr const char *kSchema =
    R"({"type":"object","properties":{)"
    R"("token":{"type":"string","minLength":1,"writeOnly":true,"description":"the bot's token, as BotFather gave it"},)"
    R"("chat":{"type":"string","minLength":1,"description":"the chat's id, or @ and a channel's name"},)"
    R"("pointer":{"type":"string","pattern":"^/","description":"JSON Pointer to a value that is shown too"},)"
    R"("api":{"type":"string","pattern":"^https?://","default":"https://api.telegram.org","description":"where the bot API is"}},)"
    R"("required":["token","chat"],"additionalProperties":false})";

// A text_t that frees itself and reads well.
struct Text : text_t {
    Text() : text_t{} {}
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
    ~Text() { text_free(this); }

    Text &operator<<(const char *words) { return text_say(this, words), *this; }
    Text &operator<<(const text_t &text) { return text_add(this, text.at, text.length), *this; }
    Text &operator<<(const notifier_plugin_string_t &text) { return text_add(this, text.ptr, text.len), *this; }
    Text &quote(const text_t &text) { return text_quote(this, text.at, text.length), *this; }
};

struct Telegram {
    Text token, chat, pointer, api, url;

    Text *setting(const Text &name) {
        return text_is(&name, "token")     ? &token
               : text_is(&name, "chat")    ? &chat
               : text_is(&name, "pointer") ? &pointer
               : text_is(&name, "api")     ? &api
                                           : nullptr;
    }

    // Returns what is wrong with the config, or nullptr.
    const char *read(json_t json) {
        Text name;
        json_object(&json);
        while (json_member(&json, &name)) {
            Text *into = setting(name);
            if (!into) return "config: it has a key that is none of token, chat, pointer and api";
            if (!json_string(&json, into)) return "config: every setting is a string";
        }
        if (!token.length || !chat.length) return "config: token and chat are needed";
        if (!api.length) api << "https://api.telegram.org";
        if (!http_is_url(&api)) return "config: api begins with http:// or https://";
        url << api << "/bot" << token << "/sendMessage";
        return nullptr;
    }
};

Telegram telegram;

// A string as it reads, anything else as its JSON.
void show(Text &text, exports_busway_plugin_notifier_borrow_event_t event) {
    notifier_plugin_string_t pointer{reinterpret_cast<uint8_t *>(telegram.pointer.at), telegram.pointer.length}, found;
    if (!pointer.len || !busway_plugin_events_method_event_at(event, &pointer, &found)) return;
    json_t json = json_of(found.ptr, found.len);
    Text plain;
    if (json_string(&json, &plain)) text << "\n" << plain;
    else text << "\n" << found;
    notifier_plugin_string_free(&found);
}

}  // namespace

void exports_busway_plugin_notifier_describe(exports_busway_plugin_notifier_about_t *about) {
    notifier_plugin_string_dup(&about->summary, "sends events to a Telegram chat");
    about->config_schema.is_some = true;
    notifier_plugin_string_dup(&about->config_schema.val, kSchema);
}

// Returns true if all is well, as every function of a `result` does.
bool exports_busway_plugin_notifier_init(notifier_plugin_string_t *config, notifier_plugin_string_t *error) {
    const char *wrong = telegram.read(json_of(config->ptr, config->len));
    notifier_plugin_string_free(config);
    if (wrong) notifier_plugin_string_dup(error, wrong);
    return !wrong;
}

bool exports_busway_plugin_notifier_notify(exports_busway_plugin_notifier_head_t *head,
                                           exports_busway_plugin_notifier_borrow_event_t event,
                                           exports_busway_plugin_notifier_delivery_t *delivery,
                                           exports_busway_plugin_notifier_failure_t *failure) {
    Text text;
    text << head->type;
    if (head->subject.is_some) text << "\n" << head->subject.val;
    show(text, event);
    exports_busway_plugin_notifier_head_free(head);
    exports_busway_plugin_notifier_delivery_free(delivery);

    Text body;
    body << R"({"chat_id":)";
    body.quote(telegram.chat) << R"(,"text":)";
    body.quote(text) << "}";
    const http_header_t headers[] = {{"content-type", "application/json"}};
    const http_post_t post{telegram.url.at, headers, 1, &body};
    return http_post(&post, failure);
}
