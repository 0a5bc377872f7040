// Dropout (Srivastava et al., 2014): in training, a share of the values becomes 0 and the others are divided by the
// share kept, so that nothing has to change where nothing is learned.
#pragma once

#include <cstdint>
#include <vector>

namespace doppel {

template <class Real>
class Dropout {
 public:
  // The share dropped is the nearest of 256ths, below 1.
  explicit Dropout(double share);
  // In place; what is dropped is a function of (seed, use).
  void forward(uint64_t seed, uint32_t use, int64_t count, Real* x);
  // After forward on as many values; in place.
  void backward(int64_t count, Real* gradient) const;

 private:
  uint32_t dropped_;           // of 256
  std::vector<uint8_t> mask_;  // 1 is kept
};

extern template class Dropout<float>;
extern template class Dropout<double>;

}  // namespace doppel
