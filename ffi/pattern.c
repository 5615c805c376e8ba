/* pattern.c: regular expressions on bytes, by PCRE2 (static, JIT). Compiled by the control plane into
 * a store of the process, matched by any reactor; a match limit bounds the worst pattern's time. */
#include "room.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#define MATCH_LIMIT 100000 /* backtracking steps: a fraction of a millisecond of interpretation */
#define DEPTH_LIMIT 1000
#define JIT_STACK_FIRST (32 * 1024)
#define JIT_STACK_MOST (512 * 1024)
#define ERROR_BYTES 120

static pcre2_code *_Atomic patterns[SL_PATTERNS_MAX];
static _Thread_local pcre2_match_data *scratch;
static _Thread_local pcre2_match_context *limits;
static _Thread_local pcre2_jit_stack *stack;

/* Compiles the expression of <len> bytes at <off>. Returns its number (> 0); -EINVAL with the reason
 * as a NUL-terminated text of at most 120 bytes at <error_off>, behind the int32 offset of the
 * mistake; -ENOSPC when SL_PATTERNS_MAX are in use. */
int32_t sl_pattern_compile(uint32_t off, int32_t len, uint32_t error_off)
{
    CHECK_ARENA(off, len);
    CHECK_ARENA(error_off, 4 + ERROR_BYTES);
    int error;
    PCRE2_SIZE where;
    pcre2_code *code = pcre2_compile(me->arena + off, (PCRE2_SIZE)len, 0, &error, &where, NULL);
    if (code == NULL) {
        int32_t at = (int32_t)where;
        memcpy(me->arena + error_off, &at, sizeof at);
        pcre2_get_error_message(error, me->arena + error_off + 4, ERROR_BYTES);
        return -EINVAL;
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without JIT (a hardened kernel) it is interpreted */
    for (int32_t pattern = 1; pattern < SL_PATTERNS_MAX; pattern++) {
        pcre2_code *none = NULL;
        if (atomic_compare_exchange_strong(&patterns[pattern], &none, code))
            return pattern;
    }
    pcre2_code_free(code);
    return -ENOSPC;
}

/* Searches the <len> bytes at <off>. Returns 1 when the pattern is found, 0 when not; -ELOOP when it
 * took too many steps; -ENOMEM. */
int32_t sl_pattern_match(int32_t pattern, uint32_t off, int32_t len)
{
    CHECK_ARENA(off, len);
    CHECK(pattern > 0 && pattern < SL_PATTERNS_MAX);
    pcre2_code *code = atomic_load(&patterns[pattern]);
    CHECK(code != NULL);
    if (stack == NULL) {
        sl_pattern_leave(); /* what an earlier attempt may have left */
        scratch = pcre2_match_data_create(1, NULL);
        limits = pcre2_match_context_create(NULL);
        stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MOST, NULL);
        if (scratch == NULL || limits == NULL || stack == NULL)
            return -ENOMEM;
        pcre2_set_match_limit(limits, MATCH_LIMIT);
        pcre2_set_depth_limit(limits, DEPTH_LIMIT);
        pcre2_jit_stack_assign(limits, NULL, stack);
    }
    int result = pcre2_match(code, me->arena + off, (PCRE2_SIZE)len, 0, 0, scratch, limits);
    if (result >= 0)
        return 1;
    if (result == PCRE2_ERROR_NOMATCH)
        return 0;
    return result == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -ELOOP;
}

/* Gives a pattern's number back. No reactor may use it any more. */
int32_t sl_pattern_free(int32_t pattern)
{
    CHECK(pattern > 0 && pattern < SL_PATTERNS_MAX);
    pcre2_code *code = atomic_exchange(&patterns[pattern], NULL);
    CHECK(code != NULL);
    pcre2_code_free(code);
    return 0;
}

/* The calling thread's match data and limits, given back when it leaves its room. */
void sl_pattern_leave(void)
{
    if (scratch != NULL) pcre2_match_data_free(scratch);
    if (limits != NULL) pcre2_match_context_free(limits);
    if (stack != NULL) pcre2_jit_stack_free(stack);
    scratch = NULL, limits = NULL, stack = NULL;
}
