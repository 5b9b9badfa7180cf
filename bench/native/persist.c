// The reference of bench/persist.bench.ts: writes and persists ranges of a file in a loop, as a program in C would.
// Arguments: file, bytes of the file, bytes of a range, count, granularity (0 byte, 1 cache line) that is pretended.
// Prints nanoseconds for each write with its persist, and CPU nanoseconds.
#include <fcntl.h>
#include <libpmem2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double cpu_ns(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

int main(int count, char **arguments) {
  if (count != 6) return 2;
  const size_t file_bytes = strtoull(arguments[2], NULL, 10);
  const size_t range_bytes = strtoull(arguments[3], NULL, 10);
  const size_t repeats = strtoull(arguments[4], NULL, 10);
  const int descriptor = open(arguments[1], O_RDWR);
  struct pmem2_source *source = NULL;
  struct pmem2_map *map = NULL;
  if (descriptor < 0 || pmem2_source_from_fd(&source, descriptor) != 0) return 1;
  char *bytes = mmap(NULL, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (bytes == MAP_FAILED) return 1;
  if (pmem2_map_from_existing(&map, source, bytes, file_bytes, (enum pmem2_granularity)atoi(arguments[5])) != 0) {
    fprintf(stderr, "%s\n", pmem2_errormsg());
    return 1;
  }
  const pmem2_persist_fn persist = pmem2_get_persist_fn(map);
  double start_ns = 0;
  double start_cpu_ns = 0;
  // The first round warms up: pages, caches, frequency.
  for (int round = 0; round < 2; round += 1) {
    start_ns = now_ns();
    start_cpu_ns = cpu_ns();
    size_t offset = 0;
    for (size_t repeat = 0; repeat < repeats; repeat += 1) {
      memset(bytes + offset, (int)repeat, range_bytes);
      persist(bytes + offset, range_bytes);
      offset += range_bytes;
      if (offset + range_bytes > file_bytes) offset = 0;
    }
  }
  printf("%.1f %.1f\n", (now_ns() - start_ns) / (double)repeats, (cpu_ns() - start_cpu_ns) / (double)repeats);
  return 0;
}
