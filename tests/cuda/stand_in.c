/* Stands in for one of NVIDIA's libraries when a program is linked where there is none, and opens the real one when the
 * program first calls a function of it. A program linked against this starts on any machine, and where the library is
 * missing its functions fail with the error that means "not there".
 *
 * Compiled once for every library by toolkit.sh, with
 *   SONAME   the file to open, for example "libcuda.so.1"
 *   MISSING  what its functions return where it cannot be opened
 *   NAMES    a file with FUNCTION(name) for every function
 *
 * A function here is one jump through a record. At first that leads to `open_and_go_on`, which keeps the arguments, has
 * the record filled in and jumps on; from then on it leads to the function itself. No signature is needed for that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef __x86_64__
#error "written for x86-64: the jumps below are its instructions"
#endif

struct record {
    void *target;
    const char *name;
};

static const char *const usual_places = "/usr/local/cuda/lib64:/usr/local/nvidia/lib64:/usr/lib/wsl/lib";

static void *library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The file in the first of these places that has it; places may be patterns, such as those of a Python environment. */
static void *open_in(const char *places) {
    void *found = NULL;
    char *list = strdup(places), *rest = NULL;
    for (char *place = strtok_r(list, ":", &rest); place && !found; place = strtok_r(NULL, ":", &rest)) {
        char pattern[4096];
        glob_t files;
        snprintf(pattern, sizeof pattern, "%s/%s", place, SONAME);
        if (glob(pattern, 0, NULL, &files) == 0) {
            for (size_t i = 0; i < files.gl_pathc && !found; i++)
                found = dlopen(files.gl_pathv[i], RTLD_LAZY | RTLD_GLOBAL);
            globfree(&files);
        }
    }
    free(list);
    return found;
}

static void open_library(void) {
    const char *places = getenv("WSSS_CUDA_LIBRARIES");
    if (places)
        library = open_in(places);
    if (!library)
        library = dlopen(SONAME, RTLD_LAZY | RTLD_GLOBAL);
    if (!library)
        library = open_in(usual_places);
    if (getenv("WSSS_CUDA_VERBOSE"))
        fprintf(stderr, "%s: %s\n", SONAME, library ? "opened" : "not found");
}

/* What is returned where the library, or the function in it, is missing. Most return a number, some a text. */
static const char *const lacking = SONAME " is missing, or older than this program";

static int missing(void) { return MISSING; }
static size_t no_version(void) { return 0; }
static const char *text(void) { return lacking; }
static int hand_out_text(int error, const char **where) {
    (void)error;
    *where = lacking;
    return 0;
}
static void write_text(char *where, size_t size) { snprintf(where, size, "%s", lacking); }

static int is_one_of(const char *name, const char *names) {
    const char *at = strstr(names, name);
    return at && (at == names || at[-1] == ' ') && (at[strlen(name)] == ' ' || !at[strlen(name)]);
}

static void *substitute(const char *name) {
    if (is_one_of(name, "cuGetErrorName cuGetErrorString"))
        return (void *)hand_out_text;
    if (is_one_of(name, "cudnnGetLastErrorString"))
        return (void *)write_text;
    if (is_one_of(name, "cudnnGetErrorString nvrtcGetErrorString cublasGetStatusName cublasGetStatusString "
                        "cublasLtGetStatusName cublasLtGetStatusString"))
        return (void *)text;
    if (is_one_of(name, "cudnnGetVersion cudnnGetCudartVersion cublasGetCudartVersion cublasLtGetVersion "
                        "cublasLtGetCudartVersion"))
        return (void *)no_version;
    return (void *)missing;
}

/* Called by the instructions below alone. */
__attribute__((used)) static void *fill_in(struct record *record) {
    pthread_once(&once, open_library);
    void *target = library ? dlsym(library, record->name) : NULL;
    if (!target)
        target = substitute(record->name);
    __atomic_store_n(&record->target, target, __ATOMIC_RELEASE);
    return target;
}

/* r11, which no argument is passed in, holds the record. Seven registers and the return address keep the stack aligned. */
__asm__(".text\n"
        "open_and_go_on:\n"
        "  pushq %rdi\n  pushq %rsi\n  pushq %rdx\n  pushq %rcx\n  pushq %r8\n  pushq %r9\n  pushq %rax\n"
        "  subq $128, %rsp\n"
        "  movdqu %xmm0, 0(%rsp)\n  movdqu %xmm1, 16(%rsp)\n  movdqu %xmm2, 32(%rsp)\n  movdqu %xmm3, 48(%rsp)\n"
        "  movdqu %xmm4, 64(%rsp)\n  movdqu %xmm5, 80(%rsp)\n  movdqu %xmm6, 96(%rsp)\n  movdqu %xmm7, 112(%rsp)\n"
        "  movq %r11, %rdi\n"
        "  call fill_in\n"
        "  movq %rax, %r11\n"
        "  movdqu 0(%rsp), %xmm0\n  movdqu 16(%rsp), %xmm1\n  movdqu 32(%rsp), %xmm2\n  movdqu 48(%rsp), %xmm3\n"
        "  movdqu 64(%rsp), %xmm4\n  movdqu 80(%rsp), %xmm5\n  movdqu 96(%rsp), %xmm6\n  movdqu 112(%rsp), %xmm7\n"
        "  addq $128, %rsp\n"
        "  popq %rax\n  popq %r9\n  popq %r8\n  popq %rcx\n  popq %rdx\n  popq %rsi\n  popq %rdi\n"
        "  jmp *%r11\n");

#define FUNCTION(name)                                                                                                 \
    __asm__(".data\n"                                                                                                  \
            ".balign 8\n"                                                                                              \
            "record_" #name ": .quad first_" #name ", name_" #name "\n"                                                \
            ".section .rodata\n"                                                                                       \
            "name_" #name ": .string \"" #name "\"\n"                                                                  \
            ".text\n"                                                                                                  \
            ".globl " #name "\n"                                                                                       \
            ".type " #name ", @function\n" #name ":\n"                                                                 \
            "  endbr64\n"                                                                                              \
            "  jmp *record_" #name "(%rip)\n"                                                                          \
            "first_" #name ":\n"                                                                                       \
            "  endbr64\n"                                                                                              \
            "  leaq record_" #name "(%rip), %r11\n"                                                                    \
            "  jmp open_and_go_on\n");
#include NAMES
