/* One HTTP request of a notifier in C or C++, over wasi:http. The hub checks the grant, dials, and speaks TLS. */
#pragma once
#include "busway.h"
#include "notifier_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *name, *value;
} http_header_t;

typedef struct {
    const char *url; /* begins with http:// or https:// */
    const http_header_t *headers;
    size_t header_count;
    const text_t *body;
} http_post_t;

/* Posts the body and says whether it is delivered: the answer is 2xx. If not, `failure` tells what came of it: 408, 429
 * and 5xx are worth another try, not before their Retry-After (in seconds); so is no answer at all; any other answer,
 * and a request that no grant covers, is not. */
bool http_post(const http_post_t *post, exports_busway_plugin_notifier_failure_t *failure);

/* Whether a text can be a URL of a request. */
bool http_is_url(const text_t *text);

#ifdef __cplusplus
}
#endif
