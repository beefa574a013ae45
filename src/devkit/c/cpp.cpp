// What C++ needs beside the C library: `new` and `delete`, and the constructors of static objects run once.
#include <stddef.h>
#include <stdlib.h>

void *operator new(size_t size) {
    void *block = malloc(size);
    if (!block) abort();
    return block;
}
void *operator new[](size_t size) { return operator new(size); }
void operator delete(void *block) noexcept { free(block); }
void operator delete[](void *block) noexcept { free(block); }
void operator delete(void *block, size_t) noexcept { free(block); }
void operator delete[](void *block, size_t) noexcept { free(block); }

extern "C" {
void __cxa_pure_virtual() { abort(); }
// An instance is thrown away whole, so nothing is destroyed at an exit.
int __cxa_atexit(void (*)(void *), void *, void *) { return 0; }
void *__dso_handle = nullptr;

// Called by name here, they are not called again around every export, which is what a linker does otherwise.
void __wasm_call_ctors();
__attribute__((export_name("_initialize"))) void _initialize() { __wasm_call_ctors(); }
}
