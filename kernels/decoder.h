// Decoding: rows of a table from latents through a network. A row is
//   z       a draw from `prior`, a mixture of Gaussians (table.h)
//   h[0] = z,  h[i + 1][o] = max(0, b[i][o] + sum_k W[i][o, k] h[i][k]),  and the last layer's sums are logits
//   a state of each variable and a bin of each axis, drawn with probabilities that are softmaxes of their logits
//   a value of each of table.columns, from states and scores as a table sampler's columns have them; the score of an
//   axis is a point of its bin, which are equal parts of the score axis: -kScoreLimit + 2 kScoreLimit / bins (bin + u)
//
// Bits: a sum starts at the bias and is a chain of fused multiply-adds, inputs ascending. Of a group of logits l with
// maximum m, e[s] = exp(l[s] - m) (common/math.h) and c[s] = e[0] + ... + e[s] in float, ascending; the outcome is the
// number of s, the last left out, with c[s] <= u c[last]. So the bits are the same on every instruction set, and row i
// depends on (decoder, seed, i) only.
//
// Random numbers of a row: blocks of the prior's normals and words come first, as of a table sampler; the words of the
// blocks that follow are a word a variable, then two words an axis (bin, place within). u = floor(word / 256) / 2^24.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/table.h"

namespace doppel {

struct DenseWeights {
  int32_t inputs = 0, outputs = 0;
  std::vector<float> weight;  // [outputs, inputs]
  std::vector<float> bias;    // [outputs]
};

struct TableDecoder {
  TableSampler prior;  // a mixture without variables and columns; its latents are z
  std::vector<DenseWeights> layers;
  std::vector<int32_t> bins;  // [axes = table.latents]
  // Columns and variables: those of a mixture, of which no member, score or state is drawn. The last layer's outputs
  // are its variables' states, then its latents' bins.
  TableSampler table;
};

// Throws Error if the decoder contradicts itself, or if its weights are so large that a float could overflow.
void check_table_decoder(const TableDecoder& decoder);

}  // namespace doppel
