/* A stand-in hands every kind of argument on to the library it opens, and fails softly where there is none.
 *
 * check.sh compiles this three times: the library (-DLIBRARY), and the program against its stand-in, run with the library
 * and without.
 */
#include <stdio.h>
#include <string.h>

#ifdef LIBRARY

int cuTestMany(int a, long b, float c, double d, const char *e, int f, double g, int h, int i, float j, long k) {
    const int same = a == 1 && b == -2 && c == 3.5f && d == 4.25 && !strcmp(e, "five") && f == 6 && g == -7.125;
    return same && h == 8 && i == 9 && j == 10.5f && k == 1L << 40 ? 42 : 0;
}

#else

int cuTestMany(int, long, float, double, const char *, int, double, int, int, float, long);
int cuTestAbsent(void);
int cuGetErrorString(int, const char **);

int main(int argc, char **argv) {
    const char *reason = "";
    const int expected = argc > 1 && !strcmp(argv[1], "with") ? 42 : 100;
    /* The first call opens, the second goes straight through. */
    for (int round = 0; round < 2; round++) {
        const int got = cuTestMany(1, -2, 3.5f, 4.25, "five", 6, -7.125, 8, 9, 10.5f, 1L << 40);
        if (got != expected) {
            printf("expected %d, got %d\n", expected, got);
            return 1;
        }
    }
    if (cuTestAbsent() != 100 || cuGetErrorString(100, &reason) != 0 || !strstr(reason, "is missing")) {
        printf("a function that is missing: %s\n", reason);
        return 1;
    }
    return 0;
}

#endif
