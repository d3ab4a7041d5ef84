/* Where a process spends its processor time: on every tick, the address of the instruction that a thread is at.

Built and read by shares.py. In the process itself: spu_bench_begin and spu_bench_end around what is looked at. In
another one: preloaded (LD_PRELOAD), with SPU_BENCH_SAMPLES naming a folder, it samples the whole process and leaves
addresses and memory map there. A tick comes when the process has used so much processor time, whichever thread did,
so a thread that waits is not seen.
*/

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define CAPACITY (1L << 18) /* of a process of its own: a quarter of an hour at 4 ms */
#define MAPPED_EVERY 64     /* samples between two copies of the memory map: a process may be killed at any time */

static uint64_t *samples;
static long capacity;
static atomic_long taken;
static char map_path[512];

static void copy_map(void) {
    char buffer[1 << 14];
    int from = open("/proc/self/maps", O_RDONLY), to = open(map_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t got; from >= 0 && to >= 0 && (got = read(from, buffer, sizeof buffer)) > 0;)
        if (write(to, buffer, (size_t)got) != got) break;
    if (from >= 0) close(from);
    if (to >= 0) close(to);
}

static void tick(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    uint64_t at = (uint64_t)machine->gregs[REG_RIP];
#elif defined(__aarch64__)
    uint64_t at = machine->pc;
#else
#error "no such processor"
#endif
    long place = atomic_fetch_add(&taken, 1);
    if (samples && place < capacity) samples[place] = at;
    if (map_path[0] && place % MAPPED_EVERY == MAPPED_EVERY - 1) copy_map();
}

static int arm(long microseconds) {
    struct sigaction act = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval every = {{0, microseconds}, {0, microseconds}};
    sigemptyset(&act.sa_mask);
    if (microseconds && sigaction(SIGPROF, &act, NULL)) return -1;
    return setitimer(ITIMER_PROF, &every, NULL); /* the handler stays: a tick may be under way */
}

int spu_bench_begin(uint64_t *into, long size, long microseconds) {
    samples = into, capacity = size;
    atomic_store(&taken, 0);
    return arm(microseconds);
}

long spu_bench_end(void) {
    arm(0);
    long found = atomic_load(&taken);
    return found < capacity ? found : capacity;
}

__attribute__((constructor)) static void preloaded(void) {
    const char *folder = getenv("SPU_BENCH_SAMPLES");
    if (!folder) return;
    char path[512];
    snprintf(path, sizeof path, "%s/%ld.samples", folder, (long)getpid());
    snprintf(map_path, sizeof map_path, "%s/%ld.map", folder, (long)getpid());
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, CAPACITY * 8)) return; /* sparse: what is not written takes no room */
    void *memory = mmap(NULL, CAPACITY * 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED) spu_bench_begin(memory, CAPACITY, 4000);
}

__attribute__((destructor)) static void ended(void) {
    if (!map_path[0]) return;
    arm(0);
    copy_map();
}
