#include "engine/nn/dropout.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {
namespace {

constexpr uint32_t kShares = 256;  // a byte of random bits a value

}  // namespace

template <class Real>
Dropout<Real>::Dropout(double share)
    : dropped_(static_cast<uint32_t>(std::clamp<double>(std::round(share * kShares), 0, kShares - 1))) {}

template <class Real>
void Dropout<Real>::forward(uint64_t seed, uint32_t use, int64_t count, Real* x) {
  if (dropped_ == 0) return;
  mask_.resize(static_cast<size_t>(count));
  std::array<uint8_t, 16> bytes;
  for (size_t i = 0; i < mask_.size(); i += bytes.size()) {
    const auto words = philox_words(seed, i / bytes.size(), use, Stream::kFit);
    static_assert(sizeof words == sizeof bytes);
    std::memcpy(bytes.data(), words.data(), sizeof bytes);
    const size_t some = std::min(bytes.size(), mask_.size() - i);
    for (size_t k = 0; k < some; ++k) mask_[i + k] = bytes[k] >= dropped_;
  }
  backward(count, x);  // the map is its own transpose
}

template <class Real>
void Dropout<Real>::backward(int64_t count, Real* gradient) const {
  if (dropped_ == 0) return;
  const auto scale = static_cast<Real>(static_cast<double>(kShares) / (kShares - dropped_));
  for (int64_t i = 0; i < count; ++i) gradient[i] = mask_[static_cast<size_t>(i)] ? gradient[i] * scale : Real{0};
}

template class Dropout<float>;
template class Dropout<double>;

}  // namespace doppel
