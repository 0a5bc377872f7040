#include "kernels/cuda/piecewise_sampler.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/sample_table.h"
#include "kernels/cuda/sample_table.h"

namespace doppel::cuda {
PiecewiseSampler::PiecewiseSampler(const std::vector<ColumnSampler>& columns, int device)
    : device_(select_device(device)), compute_(make_stream()), copy_(make_stream()) {
  for (const ColumnSampler& column : columns) {
    columns_.push_back({column.storage, column.can_be_missing()});
    row_bytes_ += bytes_per_value(column.storage);
    bitmaps_ += column.can_be_missing();
  }
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  multiprocessors_ = properties.multiProcessorCount;
}

PiecewiseSampler::~PiecewiseSampler() {  // an exception may have left copies under way
  cudaSetDevice(device_);
  cudaStreamSynchronize(copy_.get());
  cudaStreamSynchronize(compute_.get());
}

void PiecewiseSampler::make_pieces(int64_t tiles) {
  make_what_fits(tiles, 1, [this](int64_t fewer) {
    for (Piece& piece : pieces_) piece.values = {};
    piece_rows_ = fewer * kTileRows;
    make_buffers(piece_rows_);
    for (Piece& piece : pieces_) piece.values = DeviceBuffer<std::byte>(padded_bytes(piece_rows_), stream());
  });
}

size_t PiecewiseSampler::padded_bytes(int64_t rows) const {
  const auto tiles = static_cast<size_t>((rows + kTileRows - 1) / kTileRows);
  return tiles * kTileRows * row_bytes_ + tiles * (kTileRows / 8) * bitmaps_;
}

HostMemory PiecewiseSampler::allocate(size_t bytes) const {
  CUDA_CHECK(cudaSetDevice(device_));
  return allocate_for_copies(bytes);
}

void PiecewiseSampler::sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) {
  check_buffers(columns_, columns, rows);
  if (rows <= 0 || columns.empty()) return;
  CUDA_CHECK(cudaSetDevice(device_));
  is_pinned_.clear();
  for (const ColumnBuffer& column : columns)
    is_pinned_.push_back(is_pinned(column.values) && (column.validity == nullptr || is_pinned(column.validity)));
  Piece* waiting = nullptr;
  size_t turn = 0;
  for (int64_t first = 0; first < rows; first += piece_rows_, ++turn) {
    Piece& piece = pieces_[turn % 2];
    piece.first = first;
    piece.rows = std::min(piece_rows_, rows - first);
    start(piece, seed, first_row, columns);
    if (waiting) finish(*waiting, columns);
    waiting = &piece;
  }
  finish(*waiting, columns);
}

// Calls function(offset in the piece, bytes, where in the batch, column) for values and for validity.
template <class Function>
void PiecewiseSampler::for_parts(const Piece& piece, std::span<const ColumnBuffer> columns, Function function) const {
  const auto padded_rows = static_cast<size_t>((piece.rows + kTileRows - 1) / kTileRows * kTileRows);
  const auto rows = static_cast<size_t>(piece.rows), first = static_cast<size_t>(piece.first);
  size_t values = 0, bitmap = padded_rows * row_bytes_;
  for (size_t c = 0; c < columns.size(); ++c) {
    const size_t size = bytes_per_value(columns_[c].storage);
    function(values, rows * size, static_cast<std::byte*>(columns[c].values) + first * size, c);
    values += padded_rows * size;
    if (!columns_[c].has_missing) continue;
    function(bitmap, (rows + 7) / 8, reinterpret_cast<std::byte*>(columns[c].validity) + first / 8, c);
    bitmap += padded_rows / 8;
  }
}

// The piece's last copy was waited for by `finish`, so both its buffers are free.
void PiecewiseSampler::start(Piece& piece, uint64_t seed, uint64_t first_row, std::span<const ColumnBuffer> columns) {
  compute(seed, first_row + static_cast<uint64_t>(piece.first), piece.rows, piece.values.data());
  CUDA_CHECK(cudaEventRecord(piece.computed.get(), compute_.get()));
  CUDA_CHECK(cudaStreamWaitEvent(copy_.get(), piece.computed.get(), 0));
  const auto copy = [&](std::byte* to, size_t offset, size_t bytes) {
    CUDA_CHECK(cudaMemcpyAsync(to, piece.values.data() + offset, bytes, cudaMemcpyDeviceToHost, copy_.get()));
  };
  if (std::count(is_pinned_.begin(), is_pinned_.end(), true) == 0) {  // one copy, whatever the number of columns
    if (!piece.staging) piece.staging = make_pinned<std::byte>(padded_bytes(piece_rows_));
    copy(piece.staging.get(), 0, padded_bytes(piece.rows));
  } else {
    for_parts(piece, columns, [&](size_t offset, size_t bytes, std::byte* to, size_t column) {
      if (!is_pinned_[column] && !piece.staging) piece.staging = make_pinned<std::byte>(padded_bytes(piece_rows_));
      copy(is_pinned_[column] ? to : piece.staging.get() + offset, offset, bytes);
    });
  }
  CUDA_CHECK(cudaEventRecord(piece.copied.get(), copy_.get()));
}

void PiecewiseSampler::finish(Piece& piece, std::span<const ColumnBuffer> columns) {
  const auto rows = static_cast<size_t>(piece.rows), first = static_cast<size_t>(piece.first);
  for (size_t c = 0; c < columns.size(); ++c) {
    if (columns_[c].has_missing || columns[c].validity == nullptr) continue;
    std::memset(columns[c].validity + first / 8, 0xff, rows / 8);
    if (rows % 8) columns[c].validity[(first + rows) / 8] = static_cast<uint8_t>((1u << rows % 8) - 1);
  }
  CUDA_CHECK(cudaEventSynchronize(piece.copied.get()));
  for_parts(piece, columns, [&](size_t offset, size_t bytes, std::byte* to, size_t column) {
    if (!is_pinned_[column]) std::memcpy(to, piece.staging.get() + offset, bytes);
  });
}

}  // namespace doppel::cuda
