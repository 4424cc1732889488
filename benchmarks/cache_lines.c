// How far apart two processors are: nanoseconds that a cache line takes from one to the other.
//
//   cc -O2 -pthread -o cache_lines benchmarks/cache_lines.c && ./cache_lines [SECONDS]
//
// Two threads, kept on the first two processors, write a line in turn. Prints a figure every tenth of a second: the host of
// a virtual machine may move its processors while it runs.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Alignas(128) atomic_int turn;
static atomic_int over;

static void stay_on(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    perror("cache_lines needs two processors");
    exit(1);
  }
}
static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}
static void pass_on(int from, int to) {
  while (atomic_load_explicit(&turn, memory_order_acquire) != from && !atomic_load_explicit(&over, memory_order_relaxed)) {
  }
  atomic_store_explicit(&turn, to, memory_order_release);
}
static void* answer(void* unused) {
  stay_on(1);
  while (!atomic_load_explicit(&over, memory_order_relaxed)) pass_on(1, 0);
  return unused;
}

int main(int count, char** arguments) {
  const double seconds = count > 1 ? atof(arguments[1]) : 1;
  if (seconds <= 0) {
    fprintf(stderr, "cache_lines: SECONDS is \"%s\"; it must be a number above 0\n", arguments[1]);
    return 2;
  }
  pthread_t other;
  stay_on(0);
  if (pthread_create(&other, NULL, answer, NULL) != 0) return 1;
  const double end = now() + seconds;
  for (double start = now(); start < end;) {
    long rounds = 0;
    double time;
    do {
      for (int i = 0; i < 1000; ++i) pass_on(0, 1);
      rounds += 1000;
      time = now() - start;
    } while (time < 0.1);
    printf("%.0f ns\n", time / (double)rounds / 2 * 1e9);
    start = now();
  }
  atomic_store(&over, 1);
  pthread_join(other, NULL);
}
