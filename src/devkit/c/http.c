/* One HTTP request over wasi:http: see http.h.
 *
 * Invariant: what belongs to a request is given back in the order that wasi:http demands, children before parents.
 */
#include "http.h"

#include <stdlib.h>
#include <string.h>

#define PIECE 4096 /* what one write may hold */
#define SHOWN 200  /* how much of a refusal's text is worth showing */

typedef exports_busway_plugin_notifier_failure_t failure_t;

/* Fills the failure and takes the text. */
static bool fail(failure_t *failure, text_t *reason, bool retry) {
    notifier_plugin_string_dup_n(&failure->reason, reason->at, reason->length);
    failure->retry = retry;
    failure->retry_after_ms.is_some = false;
    text_free(reason);
    return false;
}

static bool refused(failure_t *failure, const char *why, const char *url) {
    text_t reason = {0};
    text_say(&reason, why);
    text_say(&reason, url);
    return fail(failure, &reason, false);
}

static bool unanswered(failure_t *failure, const wasi_http_types_error_code_t *code, const char *url) {
    if (code->tag == WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED)
        return refused(failure, "the hub refused the request: grant this origin in grants.http: ", url);
    if (code->tag == WASI_HTTP_TYPES_ERROR_CODE_DESTINATION_IP_PROHIBITED)
        return refused(failure, "the hub does not dial the address of ", url);
    text_t reason = {0};
    text_say(&reason, "no answer from ");
    text_say(&reason, url);
    return fail(failure, &reason, true);
}

static size_t scheme_length(const char *url) {
    if (strncmp(url, "https://", 8) == 0) return 8;
    return strncmp(url, "http://", 7) == 0 ? 7 : 0;
}

bool http_is_url(const text_t *text) {
    size_t scheme = text->length ? scheme_length(text->at) : 0;
    return scheme && text->length > scheme && text->at[scheme] != '/';
}

static wasi_http_types_own_fields_t fields_of(const http_post_t *post, bool *good) {
    size_t count = post->header_count + 1;
    wasi_http_types_tuple2_field_name_field_value_t *all = calloc(count, sizeof *all);
    if (!all) abort();
    text_t length = {0};
    text_number(&length, (int64_t)post->body->length);
    for (size_t i = 0; i < count; i++) {
        bool own = i == post->header_count;
        const char *name = own ? "content-length" : post->headers[i].name;
        const char *value = own ? length.at : post->headers[i].value;
        all[i].f0 = (wasi_http_types_field_name_t){(uint8_t *)name, strlen(name)};
        all[i].f1 = (wasi_http_types_field_value_t){(uint8_t *)value, strlen(value)};
    }
    wasi_http_types_list_tuple2_field_name_field_value_t list = {all, count};
    wasi_http_types_own_fields_t fields = {0};
    wasi_http_types_header_error_t wrong;
    *good = wasi_http_types_static_fields_from_list(&list, &fields, &wrong);
    text_free(&length);
    free(all);
    return fields;
}

/* Method and address. */
static bool aim(wasi_http_types_borrow_outgoing_request_t request, const char *url) {
    size_t scheme = scheme_length(url), end = scheme;
    while (url[end] && !memchr("/?#", url[end], 3)) end++;
    size_t last = end;
    while (url[last] && url[last] != '#') last++;
    notifier_plugin_string_t authority = {(uint8_t *)url + scheme, end - scheme};
    text_t path = {0};
    if (url[end] != '/') text_say(&path, "/");
    text_add(&path, url + end, last - end);
    notifier_plugin_string_t target = {(uint8_t *)path.at, path.length};
    wasi_http_types_method_t method = {.tag = WASI_HTTP_TYPES_METHOD_POST};
    wasi_http_types_scheme_t is = {.tag = scheme == 8 ? WASI_HTTP_TYPES_SCHEME_HTTPS : WASI_HTTP_TYPES_SCHEME_HTTP};
    bool good = scheme && wasi_http_types_method_outgoing_request_set_method(request, &method) &&
                wasi_http_types_method_outgoing_request_set_scheme(request, &is) &&
                wasi_http_types_method_outgoing_request_set_authority(request, &authority) &&
                wasi_http_types_method_outgoing_request_set_path_with_query(request, &target);
    text_free(&path);
    return good;
}

static void drop_error(wasi_io_streams_stream_error_t *error) {
    if (error->tag == WASI_IO_STREAMS_STREAM_ERROR_LAST_OPERATION_FAILED)
        wasi_io_error_error_drop_own(error->val.last_operation_failed);
}

/* A sink may answer and close before it has read everything: its answer says more than an error here. */
static void send(wasi_http_types_own_outgoing_body_t sending, const text_t *body) {
    wasi_http_types_own_output_stream_t stream;
    if (wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(sending), &stream)) {
        for (size_t at = 0; at < body->length; at += PIECE) {
            size_t length = body->length - at < PIECE ? body->length - at : PIECE;
            notifier_plugin_list_u8_t piece = {(uint8_t *)body->at + at, length};
            wasi_io_streams_stream_error_t error;
            if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream),
                                                                               &piece, &error)) {
                drop_error(&error);
                break;
            }
        }
        wasi_io_streams_output_stream_drop_own(stream);
    }
    wasi_http_types_error_code_t code;
    if (!wasi_http_types_static_outgoing_body_finish(sending, NULL, &code)) wasi_http_types_error_code_free(&code);
}

/* The first bytes of the answer: services say there what they did not like. */
static void add_beginning(text_t *reason, wasi_http_types_borrow_incoming_response_t response) {
    wasi_http_types_own_incoming_body_t body;
    if (!wasi_http_types_method_incoming_response_consume(response, &body)) return;
    wasi_http_types_own_input_stream_t stream;
    if (wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), &stream)) {
        notifier_plugin_list_u8_t read;
        wasi_io_streams_stream_error_t error;
        if (wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(stream), SHOWN, &read,
                                                              &error)) {
            /* A reason is text: what is not plain ASCII stands as a question mark. */
            for (size_t i = 0; i < read.len; i++) text_add(reason, read.ptr[i] - 32u < 95 ? (char *)&read.ptr[i] : "?", 1);
            notifier_plugin_list_u8_free(&read);
        } else {
            drop_error(&error);
        }
        wasi_io_streams_input_stream_drop_own(stream);
    }
    wasi_http_types_incoming_body_drop_own(body);
}

static notifier_plugin_option_u64_t retry_after(wasi_http_types_borrow_incoming_response_t response) {
    notifier_plugin_option_u64_t wait = {0};
    wasi_http_types_own_headers_t headers = wasi_http_types_method_incoming_response_headers(response);
    wasi_http_types_field_name_t name = {(uint8_t *)"retry-after", 11};
    wasi_http_types_list_field_value_t values;
    wasi_http_types_method_fields_get(wasi_http_types_borrow_fields(headers), &name, &values);
    if (values.len > 0) {
        json_t json = json_of(values.ptr[0].ptr, values.ptr[0].len);
        int64_t seconds;
        if (json_integer(&json, &seconds) && json.at == json.end && seconds >= 0 && seconds < 1000000000) {
            wait.is_some = true;
            wait.val = (uint64_t)seconds * 1000;
        }
    }
    wasi_http_types_list_field_value_free(&values);
    wasi_http_types_fields_drop_own(headers);
    return wait;
}

static bool judge(wasi_http_types_borrow_incoming_response_t response, failure_t *failure) {
    uint16_t status = wasi_http_types_method_incoming_response_status(response);
    if (status >= 200 && status < 300) return true;
    bool retry = status == 408 || status == 429 || status >= 500;
    text_t reason = {0};
    text_say(&reason, "the sink answered ");
    text_number(&reason, status);
    text_say(&reason, ": ");
    add_beginning(&reason, response);
    fail(failure, &reason, retry);
    if (retry) failure->retry_after_ms = retry_after(response);
    return false;
}

static bool answer(wasi_http_types_own_future_incoming_response_t future, const char *url, failure_t *failure) {
    wasi_http_types_borrow_future_incoming_response_t waited = wasi_http_types_borrow_future_incoming_response(future);
    wasi_io_poll_own_pollable_t ready = wasi_http_types_method_future_incoming_response_subscribe(waited);
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
    wasi_io_poll_pollable_drop_own(ready);
    wasi_http_types_result_result_own_incoming_response_error_code_void_t got;
    bool delivered;
    if (!wasi_http_types_method_future_incoming_response_get(waited, &got) || got.is_err) {
        delivered = refused(failure, "the answer was not there when it should be: ", url);
    } else if (got.val.ok.is_err) {
        delivered = unanswered(failure, &got.val.ok.val.err, url);
        wasi_http_types_error_code_free(&got.val.ok.val.err);
    } else {
        delivered = judge(wasi_http_types_borrow_incoming_response(got.val.ok.val.ok), failure);
        wasi_http_types_incoming_response_drop_own(got.val.ok.val.ok);
    }
    wasi_http_types_future_incoming_response_drop_own(future);
    return delivered;
}

bool http_post(const http_post_t *post, failure_t *failure) {
    bool good;
    wasi_http_types_own_fields_t fields = fields_of(post, &good);
    if (!good) return refused(failure, "a header cannot be sent to ", post->url);
    wasi_http_types_own_outgoing_request_t request = wasi_http_types_constructor_outgoing_request(fields);
    wasi_http_types_borrow_outgoing_request_t aimed = wasi_http_types_borrow_outgoing_request(request);
    wasi_http_types_own_outgoing_body_t sending;
    if (!aim(aimed, post->url) || !wasi_http_types_method_outgoing_request_body(aimed, &sending)) {
        wasi_http_types_outgoing_request_drop_own(request);
        return refused(failure, "this cannot be requested: ", post->url);
    }
    wasi_http_types_own_future_incoming_response_t future;
    wasi_http_types_error_code_t code;
    if (!wasi_http_outgoing_handler_handle(request, NULL, &future, &code)) {
        wasi_http_types_outgoing_body_drop_own(sending);
        unanswered(failure, &code, post->url);
        wasi_http_types_error_code_free(&code);
        return false;
    }
    send(sending, post->body);
    return answer(future, post->url, failure);
}
