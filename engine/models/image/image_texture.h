// What images have around the means that a decoder gives: images made of means alone are smooth, and lack what tells a
// knitted pullover from a shirt. A Gaussian a label, of low rank and noise, of how images differ from what their
// encodings decode to:
//   level_j = mean_j + spread(mean_j) (sum_k F_kj e_k + noise_j e'_j),   e, e' independent standard normals,
// rounded and clipped to 0 .. 255. spread(m) is the deviation of levels whose mean is m: little where all is black,
// most at edges. F is of the leading principal directions (leading_directions.h) of differences over their spread;
// noise_j^2 is what these leave of a level's variance. Networks trained on images without noise take its absence for
// what tells labels apart, and fail at real images.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/image/images.h"
#include "engine/model_file.h"
#include "engine/models/networks/trained_networks.h"

namespace doppel {

inline constexpr int64_t kAutoTexture = 64;                           // directions, and of large images fewer ...
inline constexpr int64_t kMostAutoTextureWeights = int64_t{1} << 24;  // ... of all labels together
inline constexpr int64_t kMostTextureWeights = int64_t{1} << 26;

// Of the images `which`, whose encodings are drawn as the seed says. A label has at most a direction for 16 of its
// images, else zeros in place of the others; of large images not all may be looked at. progress(share) may be empty.
ImageTexture fit_texture(TrainedVae& network, const Images& images, const std::vector<int64_t>& which,
                         int64_t directions, uint64_t seed, const std::function<void(double)>& progress);

// Tensors texture.spread, texture.factor and texture.noise. load throws InputError for what fits no image of so many
// levels; a file without them has none: null.
void save_texture(const ImageTexture& texture, ModelFile& file);
std::shared_ptr<const ImageTexture> load_texture(const ModelFile& file, int64_t classes, int64_t levels);

}  // namespace doppel
