#include "host/scheduler.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <mutex>
#include <new>
#include <thread>

#include "host/interrupt.h"
#include "host/ring.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kFileBytes = 256 << 20;
constexpr int64_t kProbeRows = 8192;
constexpr int64_t kSlackBytes = 24 << 20;  // stacks of threads, the allocator's own, a file's list of batches
constexpr int64_t kMostFiles = 1'000'000;  // of a part; a folder is slow with more, and their list is in memory
constexpr int64_t kLargestSlots = 64;      // more would only delay back-pressure

class Stopwatch {
 public:
  double lap() {  // seconds since the last lap
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// The first exception of several threads.
class Failure {
 public:
  void set(std::exception_ptr exception) {
    std::lock_guard lock(mutex_);
    if (!exception_) exception_ = exception;
  }
  void rethrow() const {
    if (!exception_) return;
    try {
      std::rethrow_exception(exception_);
    } catch (const std::bad_alloc&) {
      throw Error("out of memory: give fewer --threads or a smaller --memory");
    }
  }

 private:
  std::mutex mutex_;
  std::exception_ptr exception_;
};

struct EncodedSlot {
  ByteBuffer bytes;
  EncodedBatch batch;
};

struct StageSeconds {
  double sample = 0, encode = 0, wait = 0;
};

void sample_batch(RowSampler& sampler, const Generator& generator, int64_t first_row, int64_t rows, Batch& batch) {
  batch.seed = generator.seed();
  batch.first_row = static_cast<uint64_t>(first_row);
  batch.rows = rows;
  sampler.sample(static_cast<uint64_t>(first_row), rows, batch);
}

struct BatchRange {
  int64_t first_row, rows;
};

int64_t batches_of(int64_t file_rows, int64_t rows_per_batch) {
  return file_rows / rows_per_batch + (file_rows % rows_per_batch != 0);
}

// Batch `sequence` of the whole job. Every file but the job's last has the same number of batches.
BatchRange find_batch(const JobPlan& plan, int64_t sequence) {
  const int64_t per_file = batches_of(std::min(plan.layout.rows_per_file, plan.layout.rows), plan.rows_per_batch);
  const OutputFile file = plan.layout.file(plan.files[sequence / per_file]);
  const int64_t offset = sequence % per_file * plan.rows_per_batch;
  return {file.first_row + offset, std::min(plan.rows_per_batch, file.rows - offset)};
}

using Ring = OrderedRing<EncodedSlot>;

// What one worker owns. Made before the work starts, used by its thread alone.
struct Worker {
  Worker(const Generator& generator, const JobPlan& plan)
      : sampler(generator.make_sampler()),
        encoder(plan.format->make(generator.schema(), plan.encoder)),
        batch(sampler->make_batch(generator.schema(), plan.rows_per_batch)) {}

  // `order` is all workers': batches are fetched in the order in which they are reserved.
  void run(const Generator& generator, const JobPlan& plan, Ring& ring, std::mutex& order) {
    Stopwatch watch;
    while (true) {
      std::unique_lock lock(order);
      const Ring::Ticket ticket = ring.reserve();
      seconds.wait += watch.lap();
      if (ticket.slot == nullptr) return;
      if (interrupted()) return ring.close();
      const BatchRange range = find_batch(plan, ticket.sequence);
      sampler->fetch(static_cast<uint64_t>(range.first_row), range.rows);
      lock.unlock();
      sample_batch(*sampler, generator, range.first_row, range.rows, batch);
      seconds.sample += watch.lap();
      ticket.slot->bytes.clear();
      ticket.slot->batch = encoder->encode(batch, ticket.slot->bytes);
      seconds.encode += watch.lap();
      ring.publish(ticket);
    }
  }

  std::unique_ptr<RowSampler> sampler;
  std::unique_ptr<Encoder> encoder;
  Batch batch;
  StageSeconds seconds;
};

// Returns early where the ring was closed.
void write_files(const JobPlan& plan, Encoder& encoder, Ring& ring, OutputSink& sink, Progress& progress,
                 JobResult& result) {
  ByteBuffer edge;
  std::vector<EncodedBatch> batches;
  double write_s = 0;
  // The last `companion_bytes` go to the companion.
  const auto append = [&](const ByteBuffer& bytes, int64_t rows, size_t companion_bytes = 0) {
    Stopwatch watch;
    const size_t own_bytes = bytes.size() - companion_bytes;
    if (own_bytes > 0) sink.append(bytes.data(), own_bytes);
    if (companion_bytes > 0) sink.append_to_companion(bytes.data() + own_bytes, companion_bytes);
    write_s += watch.lap();
    result.bytes += static_cast<int64_t>(bytes.size());
    result.rows += rows;
    progress.add(rows, static_cast<int64_t>(bytes.size()));
  };
  for (const int64_t index : plan.files) {
    const OutputFile file = plan.layout.file(index);
    sink.begin(file);
    edge.clear();
    encoder.head(file.rows, edge);
    append(edge, 0);
    edge.clear();
    encoder.companion_head(file.rows, edge);
    append(edge, 0, edge.size());
    batches.clear();
    batches.reserve(static_cast<size_t>(batches_of(file.rows, plan.rows_per_batch)));
    for (int64_t done = 0; done < file.rows; done += plan.rows_per_batch) {
      EncodedSlot* slot = ring.take();
      if (slot == nullptr) return;
      append(slot->bytes, slot->batch.rows, static_cast<size_t>(slot->batch.companion_bytes));
      batches.push_back(std::move(slot->batch));
      ring.release();
    }
    edge.clear();
    encoder.tail(batches, edge);
    append(edge, 0);
    sink.end();
    ++result.files;
    result.write_s = write_s;
  }
  sink.finish();
}

int64_t file_bytes_to_rows(double bytes_per_row, int64_t rows_per_batch) {
  int64_t batches = 1;  // a power of two, so that no small change of a format's size moves it
  while (bytes_per_row * static_cast<double>(rows_per_batch * batches) * 1.5 < kFileBytes) batches *= 2;
  return rows_per_batch * batches;
}

struct Probe {
  double bytes_per_row;
  int64_t buffer_bytes;  // of a batch of `rows_per_batch` rows
};

Probe probe_encoder(const Generator& generator, const JobOptions& options, int64_t rows_per_batch) {
  const int64_t rows = std::min(kProbeRows, rows_per_batch);
  const std::unique_ptr<RowSampler> sampler = generator.make_sampler();
  Batch batch = sampler->make_batch(generator.schema(), rows);
  sample_batch(*sampler, generator, 0, rows, batch);
  ByteBuffer bytes;
  options.format->make(generator.schema(), options.encoder)->encode(batch, bytes);
  const double scale = static_cast<double>(rows_per_batch) / static_cast<double>(rows);
  return {static_cast<double>(bytes.size()) / static_cast<double>(rows),
          static_cast<int64_t>(static_cast<double>(bytes.capacity()) * scale) + (64 << 10)};
}

void fit_into_memory(JobPlan& plan, int64_t memory_bytes, int threads) {
  const int64_t per_worker = plan.batch_bytes + plan.scratch_bytes;
  const int64_t available = memory_bytes - plan.resident_bytes;
  const auto slots_for = [&](int64_t workers) { return (available - workers * per_worker) / plan.slot_bytes; };
  plan.workers = static_cast<int>(std::clamp<int64_t>(plan.batches(), 1, threads));
  while (plan.workers > 1 && slots_for(plan.workers) < plan.workers + 1) --plan.workers;
  plan.slots = std::clamp<int64_t>(slots_for(plan.workers), 0, std::max(kLargestSlots, 4 * int64_t{plan.workers}));
  plan.slots = std::min(plan.slots, std::max<int64_t>(plan.batches(), 2));
  if (plan.slots >= 2) return;
  const int64_t least = plan.resident_bytes + per_worker + 2 * plan.slot_bytes;
  throw UsageError("--memory " + format_bytes(static_cast<double>(memory_bytes)) + " is too little for this model as " +
                   plan.format->name + ": give at least --memory " + std::to_string(least / 1'000'000 + 1) + "MB");
}

}  // namespace

int available_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int64_t resident_memory_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total_pages = 0, resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

int64_t peak_memory_bytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int64_t JobPlan::rows() const {
  if (files.empty()) return 0;
  const OutputFile last = layout.file(files.back());
  return (static_cast<int64_t>(files.size()) - 1) * layout.rows_per_file + last.rows;
}

int64_t JobPlan::batches() const {
  if (files.empty()) return 0;
  const OutputFile last = layout.file(files.back());
  return (static_cast<int64_t>(files.size()) - 1) * batches_of(layout.rows_per_file, rows_per_batch) +
         batches_of(last.rows, rows_per_batch);
}

JobPlan plan_job(const Generator& generator, const JobOptions& options) {
  if (options.rows < 0) throw UsageError("--rows is negative");
  if (options.rows_per_file < 0) throw UsageError("--rows-per-file is negative");
  if (options.parts < 1 || options.part < 1 || options.part > options.parts) {
    throw UsageError("--part " + std::to_string(options.part) + " of --parts " + std::to_string(options.parts) +
                     ": parts are counted from 1 to the number of parts");
  }
  JobPlan plan;
  plan.format = options.format;
  plan.encoder = options.encoder;
  const int64_t format_rows = options.format->rows_per_batch(generator.schema());
  const Probe probe = probe_encoder(generator, options, format_rows);
  plan.layout = {
      options.rows,
      options.rows_per_file > 0 ? options.rows_per_file : file_bytes_to_rows(probe.bytes_per_row, format_rows),
      options.format->extension, options.format->companion_of(generator.schema())};
  const int64_t files = plan.layout.files();
  const auto boundary = [&](int64_t part) {
    return static_cast<int64_t>(static_cast<__int128>(files) * part / options.parts);
  };
  if (boundary(options.part) - boundary(options.part - 1) > kMostFiles) {
    throw UsageError("that would be " + std::to_string(boundary(options.part) - boundary(options.part - 1)) +
                     " files: give a larger --rows-per-file");
  }
  for (int64_t index = boundary(options.part - 1); index < boundary(options.part); ++index) plan.files.push_back(index);

  plan.rows_per_batch = std::max<int64_t>(1, std::min({format_rows, plan.layout.rows_per_file, options.rows}));
  const double share = static_cast<double>(plan.rows_per_batch) / static_cast<double>(format_rows);
  plan.slot_bytes = static_cast<int64_t>(static_cast<double>(probe.buffer_bytes) * share) + (4 << 10);
  plan.scratch_bytes = plan.slot_bytes + generator.sampler_bytes(plan.rows_per_batch);
  plan.batch_bytes = static_cast<int64_t>(Batch::bytes(generator.schema(), plan.rows_per_batch));
  plan.resident_bytes = options.resident_bytes >= 0 ? options.resident_bytes : resident_memory_bytes() + kSlackBytes;
  plan.resident_bytes += batches_of(std::min(plan.layout.rows_per_file, options.rows), plan.rows_per_batch) *
                         static_cast<int64_t>(sizeof(EncodedBatch));  // a file's list of batches, for its tail
  fit_into_memory(plan, options.memory_bytes, options.threads > 0 ? options.threads : available_threads());
  return plan;
}

JobResult run_job(const Generator& generator, const JobPlan& plan, OutputSink& sink, Progress& progress) {
  JobResult result;
  Stopwatch whole;
  Failure failure;
  Ring ring(plan.batches(), static_cast<size_t>(plan.slots));
  const std::unique_ptr<Encoder> file_encoder = plan.format->make(generator.schema(), plan.encoder);
  std::vector<Worker> workers;
  workers.reserve(static_cast<size_t>(plan.workers));
  for (int i = 0; i < plan.workers; ++i) workers.emplace_back(generator, plan);

  std::mutex order;
  std::vector<std::thread> threads;
  try {
    {
      const BlockSignals
          block;  // inherited by the workers: a signal wakes this thread, which may be blocked in a write
      for (Worker& worker : workers) {
        threads.emplace_back([&] {
          try {
            worker.run(generator, plan, ring, order);
          } catch (...) {
            failure.set(std::current_exception());
            ring.close();
          }
        });
      }
    }
    write_files(plan, *file_encoder, ring, sink, progress, result);
  } catch (...) {
    failure.set(std::current_exception());
  }
  ring.close();
  for (std::thread& thread : threads) thread.join();
  failure.rethrow();
  if (result.files < static_cast<int64_t>(plan.files.size())) throw Error("interrupted", ExitStatus::kInterrupted);
  for (const Worker& worker : workers) {
    result.sample_s += worker.seconds.sample;
    result.encode_s += worker.seconds.encode;
    result.wait_s += worker.seconds.wait;
  }
  result.seconds = whole.lap();
  return result;
}

JobResult run_sampling(const Generator& generator, int64_t first_row, int64_t rows, int threads, Progress& progress) {
  constexpr int64_t kRowsForSize = 4096;
  const auto row_bytes = static_cast<int64_t>(Batch::bytes(generator.schema(), kRowsForSize)) / kRowsForSize;
  JobResult result;
  Stopwatch whole;
  Failure failure;
  std::mutex order;  // batches are fetched in this order
  int64_t next = 0;
  std::atomic<bool> stop{false};
  const auto work = [&](RowSampler& sampler, double& seconds) {
    Stopwatch watch;
    const auto bytes = static_cast<int64_t>(sampler.preferred_bytes());
    const int64_t batch_rows = std::clamp<int64_t>(bytes / std::max<int64_t>(row_bytes, 1) / 64 * 64, 256, 1 << 20);
    Batch batch = sampler.make_batch(generator.schema(), batch_rows);
    while (!stop && !interrupted()) {
      std::unique_lock lock(order);
      const int64_t begin = next, count = std::min(batch_rows, rows - begin);
      if (count <= 0) break;
      next += count;
      sampler.fetch(static_cast<uint64_t>(first_row + begin), count);
      lock.unlock();
      sample_batch(sampler, generator, first_row + begin, count, batch);
      progress.add(count, 0);
    }
    seconds = watch.lap();
  };
  if (threads < 1) threads = available_threads();
  std::vector<std::unique_ptr<RowSampler>> samplers;
  std::vector<double> seconds(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) samplers.push_back(generator.make_sampler());
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) {
    pool.emplace_back([&, i] {
      try {
        work(*samplers[i], seconds[i]);
      } catch (...) {
        failure.set(std::current_exception());
        stop = true;
      }
    });
  }
  for (std::thread& thread : pool) thread.join();
  failure.rethrow();
  if (interrupted()) throw Error("interrupted", ExitStatus::kInterrupted);
  for (const double thread_seconds : seconds) result.sample_s += thread_seconds;
  result.rows = rows;
  result.seconds = whole.lap();
  return result;
}

}  // namespace doppel
