// The order of a category's levels along its latent axis: levels that go with alike values of the other columns become
// neighbours.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/pca/latent.h"
#include "kernels/backend.h"

namespace doppel {

// Orders the levels of every category of three levels or more and puts boundaries and scores right. A level's place is
// a weighted sum of the mean scores that the other latents have in its rows, with the weights at which the sum of the
// cubed correlations of the places with those latents is largest (with squares it were the leading axis of a
// correspondence analysis; cubes gave better tables). Categories are ordered in turn, few levels first, each against
// what is ordered by then: kScalingRounds times by places, as reciprocal averaging does, then by the scores of the
// order itself, until nothing changes or kOrderRounds times. Levels of equal place keep the order of their codes. Reads
// at most kOrderRows rows, one from each of as many equal stretches of the table, drawn with the seed.
inline constexpr int kScalingRounds = 5, kOrderRounds = 8;
inline constexpr int64_t kOrderRows = 1 << 15;

void order_levels(std::vector<Latent>& latents, const TableProfile& profile, RowBlocks& blocks, uint64_t seed,
                  const Backend& backend);

}  // namespace doppel
