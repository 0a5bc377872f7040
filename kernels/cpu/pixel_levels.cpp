// Bytes of logits, compiled for each instruction set: a tenth of the time of a dense decoder where it is done one by one.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/image_sampler.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pixel_levels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After it:
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// As many as fill whole vectors; says how many.
int64_t round_vectors(const float* logits, int64_t count, uint8_t* levels) {
  const hn::ScalableTag<float> tag;
  const hn::Rebind<int32_t, decltype(tag)> integers;
  const hn::Rebind<uint8_t, decltype(tag)> bytes;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  const auto reach = hn::Set(tag, 20.0f);  // beyond, all is 0 or 255
  const auto one = hn::Set(tag, 1.0f), half = hn::Set(tag, 0.5f), most = hn::Set(tag, 255.0f);
  const int64_t whole = count / lanes * lanes;
  for (int64_t i = 0; i < whole; i += lanes) {
    const auto logit = hn::Max(hn::Min(hn::LoadU(tag, logits + i), reach), hn::Neg(reach));
    const auto share = hn::Div(most, hn::Add(one, hn::Exp(tag, hn::Neg(logit))));
    hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(integers, hn::Add(share, half))), bytes, levels + i);
  }
  return whole;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {

HWY_EXPORT(round_vectors);

void levels_of_logits(const float* logits, int64_t count, uint8_t* levels) {
  for (int64_t i = HWY_DYNAMIC_DISPATCH(round_vectors)(logits, count, levels); i < count; ++i)
    levels[i] = static_cast<uint8_t>(255 / (1 + std::exp(-logits[i])) + 0.5f);
}

}  // namespace doppel
#endif
