/* The config: {"keyword": "...", "keep": true}. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char *keyword;
    size_t length;
    bool keep;
} config_t;

/* Reads the config from JSON text; returns NULL, or what is wrong with it. */
const char *config_read(config_t *config, const char *json, size_t length);
