/* What a plugin in C may use of <stdlib.h>: a plugin has no operating system, so there is not much. */
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void free(void *block);
__attribute__((noreturn)) void abort(void);

#ifdef __cplusplus
}
#endif
