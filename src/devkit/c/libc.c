/* The C library of plugins: an allocator and the memory functions, and nothing else.
 *
 * Why so: a whole wasi-libc would be one more thing to install, and import what a filter is not granted.
 * The allocator keeps a list of free blocks for each power of two. It never gives memory back or joins blocks, which a
 * plugin does not need: it takes about the same blocks at every call, and an instance is bounded and recycled.
 * Invariant: a block is aligned to 16 and stands behind a header of 16 bytes that holds its class.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 16
#define PAGE 65536
#define SMALLEST 5 /* 2^5: a header and 16 bytes */

typedef struct block {
    uint32_t class;
    struct block *next; /* while it is free */
} block_t;

extern unsigned char __heap_base;

static block_t *free_blocks[32];
static uintptr_t heap_end; /* first byte not yet given out */

static uint32_t class_of(size_t size) {
    uint32_t class = SMALLEST;
    while (class < 31 && ((size_t)1 << class) - HEADER < size) class++;
    return class;
}

static block_t *take_new(uint32_t class) {
    if (heap_end == 0) heap_end = ((uintptr_t)&__heap_base + HEADER - 1) & ~(uintptr_t)(HEADER - 1);
    uintptr_t size = (uintptr_t)1 << class;
    uintptr_t have = __builtin_wasm_memory_size(0) * (uintptr_t)PAGE;
    if (heap_end + size < heap_end) return NULL;
    if (heap_end + size > have) {
        uintptr_t pages = (heap_end + size - have + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == (uintptr_t)-1) return NULL;
    }
    block_t *block = (block_t *)heap_end;
    heap_end += size;
    block->class = class;
    return block;
}

void *malloc(size_t size) {
    if (size > ((size_t)1 << 31) - HEADER) return NULL;
    uint32_t class = class_of(size);
    block_t *block = free_blocks[class];
    if (block) free_blocks[class] = block->next;
    else block = take_new(class);
    return block ? (unsigned char *)block + HEADER : NULL;
}

void free(void *pointer) {
    if (!pointer) return;
    block_t *block = (block_t *)((unsigned char *)pointer - HEADER);
    block->next = free_blocks[block->class];
    free_blocks[block->class] = block;
}

void *calloc(size_t count, size_t size) {
    size_t all;
    if (__builtin_mul_overflow(count, size, &all)) return NULL;
    void *pointer = malloc(all);
    return pointer ? memset(pointer, 0, all) : NULL;
}

void *realloc(void *pointer, size_t size) {
    if (!pointer) return malloc(size);
    block_t *block = (block_t *)((unsigned char *)pointer - HEADER);
    size_t had = ((size_t)1 << block->class) - HEADER;
    if (size <= had) return pointer;
    void *larger = malloc(size);
    if (!larger) return NULL;
    memcpy(larger, pointer, had);
    free(pointer);
    return larger;
}

void abort(void) { __builtin_trap(); }

/* With bulk memory these three are one instruction each. */
void *memcpy(void *restrict to, const void *restrict from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

int memcmp(const void *one, const void *other, size_t size) {
    const unsigned char *a = one, *b = other;
    for (; size; size--, a++, b++)
        if (*a != *b) return *a - *b;
    return 0;
}

void *memchr(const void *in, int byte, size_t size) {
    const unsigned char *at = in;
    for (; size; size--, at++)
        if (*at == (unsigned char)byte) return (void *)at;
    return NULL;
}

size_t strlen(const char *text) {
    const char *end = text;
    while (*end) end++;
    return (size_t)(end - text);
}

int strcmp(const char *one, const char *other) {
    for (; *one && *one == *other; one++, other++) {}
    return (unsigned char)*one - (unsigned char)*other;
}

int strncmp(const char *one, const char *other, size_t size) {
    for (; size && *one && *one == *other; size--, one++, other++) {}
    return size ? (unsigned char)*one - (unsigned char)*other : 0;
}
