#include "kernels/positions.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace doppel {
namespace {

constexpr size_t kAbreast = 8;  // searches

// Halving without branches, several searches side by side: each waits for memory at each of its steps.
template <class Value>
void find_abreast(std::span<const Value> sorted, const Value* numbers, int32_t* positions) {
  std::array<const Value*, kAbreast> first;
  first.fill(sorted.data());
  for (size_t length = sorted.size(); length > 1;) {
    const size_t half = length / 2;
    for (size_t i = 0; i < kAbreast; ++i) {
      const auto is_less = static_cast<size_t>(first[i][half - 1] < numbers[i]);
      first[i] += half & (0 - is_less);  // which compilers make no branch of
    }
    length -= half;
  }
  for (size_t i = 0; i < kAbreast; ++i) positions[i] = static_cast<int32_t>(first[i] - sorted.data());
}

template <class Value>
class PositionsOnCpu : public PreparedPositions<Value> {
 public:
  explicit PositionsOnCpu(std::span<const Value> sorted) : sorted_(sorted) {}

  void find(std::span<const Value> numbers, int32_t* positions) const override {
    size_t done = 0;
    for (; done + kAbreast <= numbers.size(); done += kAbreast)
      find_abreast(sorted_, numbers.data() + done, positions + done);
    std::array<Value, kAbreast> rest{};
    std::array<int32_t, kAbreast> of_rest;
    std::copy(numbers.begin() + static_cast<std::ptrdiff_t>(done), numbers.end(), rest.begin());
    find_abreast(sorted_, rest.data(), of_rest.data());
    std::copy_n(of_rest.begin(), numbers.size() - done, positions + done);
  }

 private:
  std::span<const Value> sorted_;
};

}  // namespace

std::unique_ptr<PreparedPositions<int64_t>> prepare_positions_on_cpu(std::span<const int64_t> sorted) {
  return std::make_unique<PositionsOnCpu<int64_t>>(sorted);
}
std::unique_ptr<PreparedPositions<double>> prepare_positions_on_cpu(std::span<const double> sorted) {
  return std::make_unique<PositionsOnCpu<double>>(sorted);
}

}  // namespace doppel
