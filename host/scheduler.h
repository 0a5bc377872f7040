// Drives a generator and an encoder over the rows of a job: worker threads sample and encode batches in any order, the
// calling thread writes them in row order. What is written depends on the generator, the format and rows_per_file only:
// not on threads, memory, parts, or on which files were there already.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/generator.h"
#include "host/encoders/encoder.h"
#include "host/progress.h"
#include "host/sinks.h"

namespace doppel {

struct JobOptions {
  int64_t rows = 0;
  int64_t rows_per_file = 0;  // 0: about 256 MiB a file
  int64_t parts = 1, part = 1;
  int threads = 0;  // 0: one a core
  int64_t memory_bytes = int64_t{1} << 30;
  int64_t resident_bytes = -1;  // what the process occupies besides this job's buffers; -1: measured
  const Format* format = nullptr;
  EncoderOptions encoder;
};

// A job cut into files and batches, and the memory it will use.
struct JobPlan {
  FileLayout layout;
  std::vector<int64_t> files;  // indices of the files to write, ascending: this part's, until the caller removes some
  int64_t rows_per_batch = 0;
  int workers = 0;
  int64_t slots = 0;
  int64_t batch_bytes = 0;    // one a worker
  int64_t scratch_bytes = 0;  // of an encoder and a sampler: one of each a worker
  int64_t slot_bytes = 0;     // encoded bytes of one batch
  int64_t resident_bytes = 0;
  const Format* format = nullptr;
  EncoderOptions encoder;

  int64_t memory_bytes() const { return resident_bytes + workers * (batch_bytes + scratch_bytes) + slots * slot_bytes; }
  int64_t rows() const;     // of `files`
  int64_t batches() const;  // of `files`
};

// Encodes a few thousand rows to learn how long a batch is. Threads are fewer than asked for where the memory is short;
// throws UsageError naming the least that would do when not even one fits.
JobPlan plan_job(const Generator& generator, const JobOptions& options);

struct JobResult {
  int64_t rows = 0, files = 0, bytes = 0;
  double seconds = 0;
  // Seconds of work, summed over the threads that do it; wait_s: workers waiting for the writer.
  double sample_s = 0, encode_s = 0, write_s = 0, wait_s = 0;
};

// Throws what the first failing stage threw, after every thread has ended; Error with status kInterrupted when asked to
// stop (interrupt.h).
JobResult run_job(const Generator& generator, const JobPlan& plan, OutputSink& sink, Progress& progress);

// Samples rows [first_row, first_row + rows) in batches that fit a core's cache, and drops them.
JobResult run_sampling(const Generator& generator, int64_t first_row, int64_t rows, int threads, Progress& progress);

int available_threads();          // cores this process may run on
int64_t resident_memory_bytes();  // now
int64_t peak_memory_bytes();      // the most the process ever occupied

}  // namespace doppel
