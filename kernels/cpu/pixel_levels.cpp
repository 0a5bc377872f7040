// Bytes of logits and of means, compiled for each instruction set: a tenth of the time of a dense decoder where it is
// done one by one.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/image_sampler.h"
#include "kernels/cpu/texture.h"

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

const hn::ScalableTag<float> kTag;
const hn::Rebind<int32_t, decltype(kTag)> kIntegers;
const hn::Rebind<uint8_t, decltype(kTag)> kBytes;
using Floats = hn::Vec<decltype(kTag)>;

// Count, of whole vectors.
int64_t whole_vectors(int64_t count) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(kTag));
  return count / lanes * lanes;
}

Floats mean_of_logits(const float* logits) {
  const Floats one = hn::Set(kTag, 1.0f), most = hn::Set(kTag, 255.0f);
  const Floats reach = hn::Set(kTag, 20.0f);  // beyond, all is 0 or 255
  const Floats logit = hn::Max(hn::Min(hn::LoadU(kTag, logits), reach), hn::Neg(reach));
  return hn::Div(most, hn::Add(one, hn::Exp(kTag, hn::Neg(logit))));
}

hn::Vec<decltype(kIntegers)> rounded(Floats level) {
  return hn::ConvertTo(kIntegers, hn::Add(level, hn::Set(kTag, 0.5f)));
}

// These do as many as fill whole vectors, and say how many.

int64_t round_vectors(const float* logits, int64_t count, uint8_t* levels) {
  const int64_t whole = whole_vectors(count), lanes = static_cast<int64_t>(hn::Lanes(kTag));
  for (int64_t i = 0; i < whole; i += lanes)
    hn::StoreU(hn::DemoteTo(kBytes, rounded(mean_of_logits(logits + i))), kBytes, levels + i);
  return whole;
}

int64_t mean_vectors(const float* logits, int64_t count, float* means) {
  const int64_t whole = whole_vectors(count), lanes = static_cast<int64_t>(hn::Lanes(kTag));
  for (int64_t i = 0; i < whole; i += lanes) hn::StoreU(mean_of_logits(logits + i), kTag, means + i);
  return whole;
}

int64_t deviate_vectors(const LevelsAroundMeans& of, int64_t count, uint8_t* levels) {
  const int64_t whole = whole_vectors(count), lanes = static_cast<int64_t>(hn::Lanes(kTag));
  const Floats most = hn::Set(kTag, 255.0f);
  for (int64_t i = 0; i < whole; i += lanes) {
    const Floats given = hn::LoadU(kTag, of.means + i);
    const Floats mean = hn::IfThenElseZero(hn::Ge(given, hn::Zero(kTag)), given);  // NaNs, too
    const Floats scale = hn::GatherIndex(kTag, of.spread, rounded(hn::Min(mean, most)));
    const Floats deviation = hn::MulAdd(hn::LoadU(kTag, of.noise + i), hn::LoadU(kTag, of.normals + i),
                                        hn::LoadU(kTag, of.deviations + i));
    const Floats level = hn::MulAdd(scale, deviation, mean);
    hn::StoreU(hn::DemoteTo(kBytes, rounded(hn::Min(hn::Max(level, hn::Zero(kTag)), most))), kBytes, levels + i);
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
HWY_EXPORT(mean_vectors);
HWY_EXPORT(deviate_vectors);

void levels_of_logits(const float* logits, int64_t count, uint8_t* levels) {
  for (int64_t i = HWY_DYNAMIC_DISPATCH(round_vectors)(logits, count, levels); i < count; ++i)
    levels[i] = static_cast<uint8_t>(255 / (1 + std::exp(-logits[i])) + 0.5f);
}

void means_of_logits(const float* logits, int64_t count, float* means) {
  for (int64_t i = HWY_DYNAMIC_DISPATCH(mean_vectors)(logits, count, means); i < count; ++i)
    means[i] = 255 / (1 + std::exp(-logits[i]));
}

void levels_around_means(const LevelsAroundMeans& of, int64_t count, uint8_t* levels) {
  const int64_t whole = HWY_DYNAMIC_DISPATCH(deviate_vectors)(of, count, levels);
  for (int64_t i = whole; i < count; ++i) {
    const float mean = of.means[i] >= 0 ? of.means[i] : 0;  // NaNs, too
    const float scale = of.spread[static_cast<int32_t>(std::min(mean, 255.0f) + 0.5f)];
    const float level = mean + scale * (of.deviations[i] + of.noise[i] * of.normals[i]);
    levels[i] = static_cast<uint8_t>(std::clamp(level, 0.0f, 255.0f) + 0.5f);
  }
}

}  // namespace doppel
#endif
