// The host's half of rows' scores: tables of what rows have in common stay on the device; of a piece of rows one copy
// goes there, and one comes back, 8 bytes a latent and 4 a variable and two a cell, and 16 a cell.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/factor_scores.h"
#include "kernels/cuda/row_scores.h"
#include "kernels/factor_mixture.h"

namespace doppel::cuda {
namespace {

// Arrays over members, each padded to the stride.
class PaddedArrays {
 public:
  explicit PaddedArrays(size_t members)
      : members_(members), stride_(static_cast<size_t>(score_stride(static_cast<int64_t>(members)))) {}
  // Returns where the first of them begins.
  size_t add(std::span<const double> arrays) {
    const size_t first = values_.size();
    for (; !arrays.empty(); arrays = arrays.subspan(members_)) {
      values_.insert(values_.end(), arrays.begin(), arrays.begin() + static_cast<std::ptrdiff_t>(members_));
      values_.resize(values_.size() + stride_ - members_);
    }
    return first;
  }
  const std::vector<double>& values() const { return values_; }

 private:
  size_t members_, stride_;
  std::vector<double> values_;
};

// What was added at once, on the device; the host's copies stay until the stream was waited for.
struct AddedTables {
  PaddedArrays host;
  std::vector<int32_t> host_places;
  DeviceBuffer<double> values;
  DeviceBuffer<int32_t> places;
};

// Rows of a piece that know the same latents side by side, and tiles of them.
struct RowOrder {
  std::vector<int64_t> row;
  std::vector<int32_t> tile;

  RowOrder(const int32_t* pattern, std::span<const int64_t> piece) : row(piece.begin(), piece.end()) {
    std::stable_sort(row.begin(), row.end(), [&](int64_t a, int64_t b) { return pattern[a] < pattern[b]; });
    const auto count = static_cast<int64_t>(row.size());
    for (int64_t begin = 0; begin < count;) {
      tile.push_back(static_cast<int32_t>(begin));
      int64_t end = begin + 1;
      while (end < count && end < begin + kScoreTileRows && pattern[row[end]] == pattern[row[begin]]) ++end;
      begin = end;
    }
    tile.push_back(static_cast<int32_t>(count));
  }
  explicit RowOrder(std::span<const int64_t> piece) : row(piece.begin(), piece.end()) {}
};

class CudaScores : public PreparedScores {
 public:
  CudaScores(const MixtureScores& mixture, int device, size_t score_bytes)
      : device_(select_device(device)), stream_(make_stream()), cells_(mixture.cells) {
    base_.members = mixture.members;
    base_.stride = score_stride(mixture.members);
    base_.variables = mixture.variables;
    base_.latents = mixture.latents;
    base_.cells = static_cast<int32_t>(cells_.size());
    PaddedArrays arrays(static_cast<size_t>(mixture.members));
    const size_t weight = arrays.add(mixture.log_weight), scale = arrays.add(mixture.scale),
                 centre = arrays.add(mixture.centre), constant = arrays.add(mixture.constant);
    constants_ = upload(arrays.values(), stream());
    cells_on_device_ = upload(cells_, stream());
    CUDA_CHECK(cudaStreamSynchronize(stream()));  // `arrays` goes out of scope
    base_.log_weight = constants_.data() + weight;
    base_.scale = constants_.data() + scale;
    base_.centre = constants_.data() + centre;
    base_.constant = constants_.data() + constant;
    base_.cell = cells_on_device_.data();
    base_.is_low_rank = mixture.is_low_rank();
    if (base_.is_low_rank) factors_.emplace(mixture, stream());
    for (PieceMemory* memory : {&memory_, &memory_of_gaps_})
      memory->most_rows =
          static_cast<int64_t>(std::max<size_t>(score_bytes / scratch_bytes(1, memory == &memory_of_gaps_), 1));
  }
  ~CudaScores() override {  // an exception may have left copies under way
    cudaSetDevice(device_);
    cudaStreamSynchronize(stream());
  }

  void add(std::span<const StatesKnown> states, std::span<const LatentsKnown> latents) override {
    if (states.empty() && latents.empty()) return;
    CUDA_CHECK(cudaSetDevice(device_));
    added_.push_back({PaddedArrays(static_cast<size_t>(base_.members)), {}, {}, {}});
    AddedTables& tables = added_.back();
    std::vector<size_t> of_states, of_latents;
    for (const StatesKnown& known : states) {
      of_states.push_back(tables.host.add(known.log_probability));
      tables.host.add(known.probability);
      tables.host.add(known.inverse_probability);
    }
    for (const LatentsKnown& known : latents) {
      of_latents.push_back(tables.host.add(known.constant));
      for (const auto arrays : {known.offset, known.precision, known.conditional_constant, known.whitening})
        tables.host.add(arrays);
      std::vector<int32_t> place(static_cast<size_t>(base_.latents), -1);
      for (size_t i = 0; i < known.latents.size(); ++i)
        place[static_cast<size_t>(known.latents[i])] = static_cast<int32_t>(i);
      tables.host_places.insert(tables.host_places.end(), place.begin(), place.end());
    }
    tables.values = upload(tables.host.values(), stream());
    tables.places = upload(tables.host_places, stream());
    for (const size_t first : of_states) states_.push_back(tables.values.data() + first);
    for (size_t i = 0; i < latents.size(); ++i)
      patterns_.push_back({tables.values.data() + of_latents[i],
                           tables.places.data() + i * static_cast<size_t>(base_.latents),
                           static_cast<int64_t>(latents[i].latents.size())});
    has_new_tables_ = true;
  }

  void forget() override {
    CUDA_CHECK(cudaSetDevice(device_));
    CUDA_CHECK(cudaStreamSynchronize(stream()));
    states_.clear();
    patterns_.clear();
    added_.clear();
  }

  void find(const RowsToScore& rows, const FoundScores& found) override {
    if (rows.rows == 0) return;
    CUDA_CHECK(cudaSetDevice(device_));
    if (has_new_tables_) {
      states_on_device_ = upload(states_, stream());
      patterns_on_device_ = upload(patterns_, stream());
      has_new_tables_ = false;
    }
    base_.states = states_on_device_.data();
    base_.patterns = patterns_on_device_.data();
    if (factors_) count_known(rows);
    std::vector<int64_t> whole, with_gaps;  // the latter of low rank only
    for (int64_t row = 0; row < rows.rows; ++row)
      (factors_ && known_[static_cast<size_t>(row)] < base_.latents ? with_gaps : whole).push_back(row);
    find_pieces(rows, whole, false, found);
    find_pieces(rows, with_gaps, true, found);
    for (AddedTables& tables : added_) tables.host = PaddedArrays(0), tables.host_places = {};
  }

 private:
  cudaStream_t stream() const { return stream_.get(); }

  // Of low rank: how many latents each row knows.
  void count_known(const RowsToScore& rows) {
    known_.resize(static_cast<size_t>(rows.rows));
    const double* z = rows.z;
    for (int32_t& known : known_) {
      known = static_cast<int32_t>(std::count_if(z, z + base_.latents, [](double of) { return !std::isnan(of); }));
      z += base_.latents;
    }
  }

  // ---- a piece's memory

  // Rows with gaps take more of it, and have their own.
  struct PieceMemory {
    int64_t most_rows = 0, room = 0;  // of a piece
    DeviceBuffer<std::byte> scratch, found, input;
    HostMemory host_input{nullptr, nullptr}, host_found{nullptr, nullptr};
  };

  size_t scratch_bytes(int64_t rows, bool has_gaps) const {
    const int64_t more = factors_ ? factors_->doubles(has_gaps) : base_.stride * base_.latents;
    return sizeof(double) * static_cast<size_t>(rows * (base_.stride * 2 + more + 1));
  }
  size_t found_bytes(int64_t rows) const { return sizeof(double) * static_cast<size_t>(rows * (1 + 2 * base_.cells)); }
  size_t input_bytes(int64_t rows) const {
    return sizeof(double) * static_cast<size_t>(rows * base_.latents) +
           sizeof(int32_t) * static_cast<size_t>(rows * (2 + base_.variables + 2 * base_.cells) + 1);
  }
  void make_room(int64_t rows, bool has_gaps, PieceMemory& memory) {
    if (rows <= memory.room) return;
    make_what_fits(rows, 1, [&](int64_t fewer) {
      memory.room = 0;
      memory.scratch = {}, memory.found = {}, memory.input = {};
      memory.scratch = DeviceBuffer<std::byte>(scratch_bytes(fewer, has_gaps), stream());
      memory.found = DeviceBuffer<std::byte>(found_bytes(fewer), stream());
      memory.input = DeviceBuffer<std::byte>(input_bytes(fewer), stream());
      memory.host_input = allocate_for_copies(input_bytes(fewer));
      memory.host_found = allocate_for_copies(found_bytes(fewer));
      memory.room = fewer;
      if (fewer < rows) memory.most_rows = fewer;
    });
  }

  // ---- a piece

  void find_pieces(const RowsToScore& rows, std::span<const int64_t> row, bool has_gaps, const FoundScores& found) {
    if (row.empty()) return;
    PieceMemory& memory = has_gaps ? memory_of_gaps_ : memory_;
    make_room(std::min(static_cast<int64_t>(row.size()), memory.most_rows), has_gaps, memory);
    for (; !row.empty(); row = row.subspan(std::min(static_cast<size_t>(memory.room), row.size()))) {
      const auto piece = row.first(std::min(static_cast<size_t>(memory.room), row.size()));
      find_piece(rows, factors_ ? RowOrder(piece) : RowOrder(rows.pattern, piece), has_gaps, memory, found);
    }
  }

  void find_piece(const RowsToScore& rows, const RowOrder& order, bool has_gaps, PieceMemory& memory,
                  const FoundScores& found) {
    const auto count = static_cast<int64_t>(order.row.size());
    RowScoreArguments arguments = base_;
    arguments.rows = count;
    arguments.tiles = static_cast<int32_t>(order.tile.size()) - 1;
    put_rows(rows, order, memory, arguments);
    CUDA_CHECK(cudaMemcpyAsync(memory.input.data(), memory.host_input.get(), input_bytes(count), cudaMemcpyHostToDevice,
                               stream()));
    auto* scratch = reinterpret_cast<double*>(memory.scratch.data());
    const auto take = [](double*& from, int64_t size) { return std::exchange(from, from + size); };
    arguments.joint = take(scratch, count * base_.stride);
    arguments.term = take(scratch, count * base_.stride);
    double* of_latents = take(scratch, count * (factors_ ? factors_->doubles(has_gaps) : base_.stride * base_.latents));
    arguments.greatest = take(scratch, count);
    auto* place = reinterpret_cast<double*>(memory.found.data());
    arguments.log_density = take(place, count);
    arguments.found_without = take(place, count * base_.cells);
    arguments.found_alone = take(place, count * base_.cells);
    launch(arguments, has_gaps, of_latents);
    CUDA_CHECK(cudaMemcpyAsync(memory.host_found.get(), memory.found.data(), found_bytes(count), cudaMemcpyDeviceToHost,
                               stream()));
    CUDA_CHECK(cudaStreamSynchronize(stream()));
    take_found(order, memory, found);
  }

  void launch(RowScoreArguments& arguments, bool has_gaps, double* of_latents) {
    if (!factors_) {
      arguments.gain = of_latents;
      find_joint(arguments, stream());
      find_scores(arguments, stream());
      return;
    }
    const FactorPiece piece = factors_->piece(arguments.rows, has_gaps, of_latents);
    find_factor_joint(arguments, factors_->parameters(), piece, stream());
    find_scores(arguments, stream());
    find_without_factors(arguments, factors_->parameters(), piece, stream());
  }

  // To the host's input, in the order of kernels, with where each array will be on the device.
  void put_rows(const RowsToScore& rows, const RowOrder& order, const PieceMemory& memory,
                RowScoreArguments& arguments) {
    std::byte* to = memory.host_input.get();
    const auto place = [&](auto*& of_kernel) {
      of_kernel = reinterpret_cast<std::remove_reference_t<decltype(of_kernel)>>(memory.input.data() +
                                                                                 (to - memory.host_input.get()));
    };
    const auto put = [&](const auto& value) {
      std::memcpy(to, &value, sizeof value);
      to += sizeof value;
    };
    const auto put_row = [&](const auto* values, int64_t size) {
      if (size == 0) return;
      std::memcpy(to, values, static_cast<size_t>(size) * sizeof *values);
      to += static_cast<size_t>(size) * sizeof *values;
    };
    place(arguments.z);
    for (const int64_t row : order.row) put_row(rows.z + row * base_.latents, base_.latents);
    place(arguments.pattern);
    const int32_t* pattern = factors_ ? known_.data() : rows.pattern;
    for (const int64_t row : order.row) put(pattern[row]);
    place(arguments.known_states);
    for (const int64_t row : order.row) put_row(rows.states + row * base_.variables, base_.variables);
    for (const auto& [cells, of_kernel] :
         {std::pair(rows.without, &arguments.without), std::pair(rows.alone, &arguments.alone)}) {
      place(*of_kernel);
      for (int32_t cell = 0; cell < base_.cells; ++cell)
        for (const int64_t row : order.row) put(cells[row * base_.cells + cell]);
    }
    place(arguments.tile);
    put_row(order.tile.data(), static_cast<int64_t>(order.tile.size()));
  }

  void take_found(const RowOrder& order, const PieceMemory& memory, const FoundScores& found) const {
    const auto* from = reinterpret_cast<const double*>(memory.host_found.get());
    for (const int64_t row : order.row) found.log_density[row] = *from++;
    for (double* cells : {found.without, found.alone})
      for (int32_t cell = 0; cell < base_.cells; ++cell)
        for (const int64_t row : order.row) cells[row * base_.cells + cell] = *from++;
  }

  int device_;
  Stream stream_;
  std::vector<ScoredCell> cells_;
  DeviceBuffer<double> constants_;
  DeviceBuffer<ScoredCell> cells_on_device_;
  RowScoreArguments base_{};

  std::vector<AddedTables> added_;
  std::vector<const double*> states_;
  std::vector<PatternOnDevice> patterns_;
  bool has_new_tables_ = false;
  DeviceBuffer<const double*> states_on_device_;
  DeviceBuffer<PatternOnDevice> patterns_on_device_;

  std::optional<ScoredFactors> factors_;  // where covariances are of low rank
  std::vector<int32_t> known_;            // then: how many latents each row knows
  PieceMemory memory_, memory_of_gaps_;
};

}  // namespace

std::unique_ptr<PreparedScores> prepare_cuda_scores(const MixtureScores& mixture, int device, size_t score_bytes) {
  if (mixture.low_rank.rank > kMostFactors) return nullptr;
  return std::make_unique<CudaScores>(mixture, device, score_bytes);
}

}  // namespace doppel::cuda
