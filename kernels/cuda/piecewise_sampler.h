// What the CUDA samplers share: a batch goes through in pieces, two at a time; while one is copied the next is
// computed. Columns whose memory is pinned (`allocate`) are copied to where they belong; others to a staging buffer,
// from which the host moves them: at 5 GB/s a thread (measured beside an H200), a tenth of what the bus takes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/table.h"

namespace doppel::cuda {

class PiecewiseSampler : public PreparedTableSampler {
 public:
  ~PiecewiseSampler() override;
  void sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) final;
  HostMemory allocate(size_t bytes) const final;
  size_t preferred_bytes() const final { return std::max(2 * padded_bytes(piece_rows_), kCacheBytes); }

 protected:
  PiecewiseSampler(const std::vector<ColumnSampler>& columns, int device);  // selects the device
  // Pieces of so many tiles of kTileRows rows, fewer where the device's memory is short: rows are the same bits.
  void make_pieces(int64_t tiles);
  // What the sampler itself needs for so many rows, for which memory may be too short (OutOfMemory): then it is called
  // with fewer.
  virtual void make_buffers(int64_t /*rows*/) {}
  // Enqueues on `stream()` what writes rows [first_row, first_row + rows), rows > 0, to `out`, as ColumnArguments say.
  virtual void compute(uint64_t seed, uint64_t first_row, int64_t rows, std::byte* out) = 0;

  cudaStream_t stream() const { return compute_.get(); }
  int multiprocessors() const { return multiprocessors_; }
  size_t padded_bytes(int64_t rows) const;  // of the output of so many rows, rounded up to a tile

 private:
  struct Column {
    Storage storage;
    bool has_missing;
    bool can_be_missing() const { return has_missing; }
  };
  struct Piece {  // one of the two buffers
    DeviceBuffer<std::byte> values;
    PinnedBuffer<std::byte> staging;  // made when it is needed
    Event computed = make_event(), copied = make_event();
    int64_t first = 0, rows = 0;  // of the batch
  };
  void start(Piece& piece, uint64_t seed, uint64_t first_row, std::span<const ColumnBuffer> columns);
  void finish(Piece& piece, std::span<const ColumnBuffer> columns);
  template <class Function>
  void for_parts(const Piece& piece, std::span<const ColumnBuffer> columns, Function function) const;

  int device_;
  int multiprocessors_ = 0;
  std::vector<Column> columns_;
  std::vector<bool> is_pinned_;  // [columns] of the batch at hand
  size_t row_bytes_ = 0, bitmaps_ = 0;
  int64_t piece_rows_ = 0;
  Stream compute_, copy_;
  std::array<Piece, 2> pieces_;
};

}  // namespace doppel::cuda
