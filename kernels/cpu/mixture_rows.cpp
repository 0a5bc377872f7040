// A step of expectation maximisation on the CPU.
#include <memory>

#include "kernels/common/mixture.h"
#include "kernels/cpu/mixture_chunks.h"

namespace doppel {
namespace {

class MixtureRowsOnCpu : public PreparedMixtureRows {
 public:
  MixtureRowsOnCpu(const MixtureRows& rows, int32_t variables, int32_t latents)
      : rows_(rows), variables_(variables), latents_(latents) {}

  void expect(const MixtureDensity& density, std::span<double> log_density, const MixtureSums* sums,
              Responsibilities* shares) const override {
    expect_in_chunks(rows_, variables_, latents_, density, log_density, shares,
                     [&](const MixtureRows& chunk, const Responsibilities& found) {
                       if (sums == nullptr) return;
                       add_counts_on_cpu(chunk, found, sums->counts);
                       MixtureLatents latents = sums->latents;
                       latents.rows = chunk.rows;
                       latents.latents = chunk.latents;
                       add_moments_on_cpu(latents, found, sums->moments);
                     });
  }

 private:
  MixtureRows rows_;
  int32_t variables_, latents_;
};

}  // namespace

void add_counts_on_cpu(const MixtureRows& rows, const Responsibilities& shares, const MixtureCounts& counts) {
  const size_t variables = counts.states.size();
  const int32_t* states = rows.states;
  for (int64_t row = 0; row < rows.rows; ++row, states += variables) {
    const int64_t first = shares.first[row], end = shares.first[row + 1];
    for (size_t v = 0; v < variables; ++v) {
      if (states[v] < 0 || states[v] >= counts.states[v]) continue;
      double* of_state = counts.of_state[v] + states[v] * counts.members;
      for (int64_t e = first; e < end; ++e) of_state[shares.member[e]] += shares.share[e];
    }
    for (int64_t e = first; e < end; ++e) counts.weight[shares.member[e]] += shares.share[e];
  }
}

std::unique_ptr<PreparedMixtureRows> prepare_mixture_rows_on_cpu(const MixtureRows& rows, int32_t variables,
                                                                 int32_t latents) {
  return std::make_unique<MixtureRowsOnCpu>(rows, variables, latents);
}

}  // namespace doppel
