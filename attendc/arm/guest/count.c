/* A plugin of qemu: counts the instructions that the guest executes, and writes the counter down whenever the guest
 * makes the system call MARK.
 *
 * PLUGIN_API is the version of the interface: 1 until qemu 8.2, 2 since 9.0, which has no counter for all threads at
 * once any more but one for each, and refuses what says 1.
 *
 * Debian ships no header for plugins; what is used of the interface is declared here, as documented in
 * https://www.qemu.org/docs/master/devel/tcg-plugins.html
 *
 * Arguments: out=FILE, which gets a line `first second instructions` for each mark, the first two being what the guest
 * gave with it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifndef PLUGIN_API
#define PLUGIN_API 1
#endif
#define EXPORTED __attribute__((visibility("default")))
#define ADD_U64 0
#define MARK 4242 /* a number that no system call has, see guest/work.py */

typedef uint64_t plugin_id;
struct qemu_plugin_tb;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id id,
                                                 void (*callback)(plugin_id, unsigned, int64_t, uint64_t, uint64_t,
                                                                  uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                                  uint64_t));

EXPORTED int qemu_plugin_version = PLUGIN_API;

static FILE *out;

#if PLUGIN_API >= 2
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} plugin_counter;

extern struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
extern void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, int operation,
                                                              plugin_counter counter, uint64_t added);
extern uint64_t qemu_plugin_u64_sum(plugin_counter counter);

static plugin_counter instructions;

static void make_counter(void)
{
    instructions.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD_U64, instructions, qemu_plugin_tb_n_insns(tb));
}

static uint64_t counted(void)
{
    return qemu_plugin_u64_sum(instructions);
}
#else
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int operation, void *counter,
                                                     uint64_t added);

static uint64_t instructions;

static void make_counter(void)
{
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &instructions, qemu_plugin_tb_n_insns(tb));
}

static uint64_t counted(void)
{
    return instructions;
}
#endif

static void on_system_call(plugin_id id, unsigned vcpu, int64_t number, uint64_t first, uint64_t second, uint64_t a3,
                           uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    if (number == MARK) {
        fprintf(out, "%llu %llu %llu\n", (unsigned long long)first, (unsigned long long)second,
                (unsigned long long)counted());
        fflush(out);
    }
}

EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out)
        return 1;
    make_counter();
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
