// What both backends make of an image sampler.
#include <cmath>
#include <numeric>

#include "kernels/common/error.h"
#include "kernels/cpu/image_sampler.h"

namespace doppel {

void check_image_sampler(const ImageSampler& sampler) {
  check_trained_network(sampler.decoder);
  const LatentMembers& members = sampler.members;
  const size_t labels = sampler.label_weights.size(), count = members.weight.size();
  const auto latent = static_cast<size_t>(members.latent);
  const auto expect = [](bool holds, const char* what) {
    if (!holds) throw Error(std::string("an image sampler: ") + what);
  };
  expect(members.latent > 0 && members.latent == sampler.decoder.inputs(), "its decoder does not take its latents");
  expect(sampler.decoder.outputs() % outputs_of_level(sampler.likelihood) == 0, "its decoder gives parts of levels");
  expect(members.first.size() == labels + 1 && members.first.front() == 0 &&
             members.first.back() == static_cast<int64_t>(count),
         "its members are not those of its labels");
  for (size_t label = 0; label < labels; ++label)
    expect(members.first[label] < members.first[label + 1], "a label has no member");
  expect(members.mean.size() == count * latent && members.factor.size() == count * latent * latent,
         "means or factors are not those of its members");
  for (const TrainedLayer& layer : sampler.decoder.layers)
    expect(layer.label_weight.empty() || layer.label_weight.size() == labels * static_cast<size_t>(layer.outputs),
           "its decoder has other labels");
  if (const ImageTexture* texture = sampler.texture.get())
    expect(texture->levels == sampler.levels() && texture->spread.size() == labels * ImageTexture::kMeans &&
               texture->factor.size() == labels * static_cast<size_t>(texture->directions * texture->levels) &&
               texture->noise.size() == labels * static_cast<size_t>(texture->levels),
           "its texture is of other images");
  expect(std::isfinite(sampler.temperature) && sampler.block_rows >= 0, "no temperature, or blocks of no rows");
  if (!(std::accumulate(sampler.label_weights.begin(), sampler.label_weights.end(), 0.0) > 0))
    throw UsageError("no label has a weight");
}

LatentDraws prepare_draws(const ImageSampler& sampler) {
  const LatentMembers& members = sampler.members;
  LatentDraws draws;
  draws.labels_up_to.resize(sampler.label_weights.size());
  std::partial_sum(sampler.label_weights.begin(), sampler.label_weights.end(), draws.labels_up_to.begin());
  draws.members_up_to = members.weight;
  for (size_t label = 0; label + 1 < members.first.size(); ++label)
    std::partial_sum(members.weight.begin() + members.first[label], members.weight.begin() + members.first[label + 1],
                     draws.members_up_to.begin() + members.first[label]);
  const auto n = static_cast<size_t>(members.latent);
  draws.factor_columns.resize(members.factor.size());
  for (size_t member = 0; member < members.weight.size(); ++member)
    for (size_t i = 0; i < n; ++i)
      for (size_t k = 0; k <= i; ++k)
        draws.factor_columns[(member * n + k) * n + i] = members.factor[(member * n + i) * n + k];
  return draws;
}

}  // namespace doppel
