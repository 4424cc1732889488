// What the kernel takes for a bound on one processor: two bare processes hand over counted places, and nothing else.
//
//   cc -O2 -o hand_over benchmarks/hand_over.c && ./hand_over BOUND [BURNERS [anywhere]]
//
// Each sleeps (FUTEX_WAIT) when it finds none, and wakes its peer only when all are full or all are free: one sleep and
// one wake-up of each for BOUND items. Both are kept on one processor unless "anywhere" is said. Prints items a second.
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  _Alignas(64) atomic_int put;
  _Alignas(64) atomic_int taken;
} Shared;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}
static void sleep_while(atomic_int* word, int seen) { syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0); }
static void wake(atomic_int* word) { syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); }

static void burn(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
  }
}

static void take_all(Shared* shared) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int taken = 0;;) {
    const int put = atomic_load(&shared->put);
    if (put == taken) {
      sleep_while(&shared->put, put);
      continue;
    }
    taken = put;
    atomic_store(&shared->taken, taken);
    wake(&shared->taken);
  }
}

int main(int count, char** words) {
  const int bound = count > 1 ? atoi(words[1]) : 1;
  const int burners = count > 2 ? atoi(words[2]) : 0;
  pid_t others[9];
  if (bound < 1 || burners < 0 || burners > 8) return 2;
  for (int i = 0; i < burners; ++i) {
    if ((others[i] = fork()) == 0) burn();
  }
  if (count < 4) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  Shared* const shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if ((others[burners] = fork()) == 0) take_all(shared);
  const double begin = now();
  int put = 0;
  for (int turns = 0; turns % 64 != 0 || now() < begin + 1;) {
    const int taken = atomic_load(&shared->taken);
    if (put - taken == bound) {
      sleep_while(&shared->taken, taken);
      continue;
    }
    ++turns;
    put = taken + bound;
    atomic_store(&shared->put, put);
    wake(&shared->put);
  }
  printf("bound %d, %d burners: %.0f items a second\n", bound, burners, put / (now() - begin));
  for (int i = 0; i <= burners; ++i) kill(others[i], SIGKILL);
  return 0;
}
