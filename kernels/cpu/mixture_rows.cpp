// A step of expectation maximisation on the CPU: rows in chunks whose responsibilities the caches hold.
#include <algorithm>
#include <memory>

#include "kernels/common/mixture.h"

namespace doppel {
namespace {

constexpr int64_t kChunkRows = 4096;

class MixtureRowsOnCpu : public PreparedMixtureRows {
 public:
  MixtureRowsOnCpu(const MixtureRows& rows, int32_t variables, int32_t latents)
      : rows_(rows), variables_(variables), latents_(latents) {}

  void expect(const MixtureDensity& density, std::span<double> log_density, const MixtureSums* sums,
              Responsibilities* shares) const override {
    Responsibilities found;
    if (shares != nullptr) shares->clear();
    for (int64_t first = 0; first < rows_.rows; first += kChunkRows) {
      const int64_t count = std::min(kChunkRows, rows_.rows - first);
      const MixtureRows chunk{count, rows_.states + first * variables_, rows_.latents + first * latents_};
      find_responsibilities_on_cpu(density, chunk, found);
      std::copy(found.log_density.begin(), found.log_density.end(), log_density.begin() + first);
      if (sums != nullptr) {
        add_counts_on_cpu(chunk, found, sums->counts);
        MixtureLatents latents = sums->latents;
        latents.rows = count;
        latents.latents = chunk.latents;
        add_moments_on_cpu(latents, found, sums->moments);
      }
      if (shares != nullptr) append(found, *shares);
    }
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
