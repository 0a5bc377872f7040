// Fits of a mixture to rows in memory, and the choice of how many members it has: whatever the rows are of (a table,
// the encodings of a network).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/model.h"
#include "engine/models/mixture/member_swap.h"
#include "engine/models/mixture/mixture_learner.h"
#include "engine/models/mixture/mixture_parameters.h"
#include "engine/models/mixture/mixture_space.h"
#include "engine/models/mixture/mixture_start.h"
#include "kernels/backend.h"

namespace doppel {

inline constexpr int64_t kMostMembers = 4096;
inline constexpr int64_t kRowsPerMember = 16;      // at least, where the number is chosen
inline constexpr double kLikelihoodSlack = 0.004;  // nats a column
inline constexpr int kTrialIterations = 12, kIterations = 30;

// Rows held in memory, evenly spread over the table where it is too long to hold, part of them held out.
struct RowSample {
  RowsByPattern training, held_out;
  bool is_whole = true;
};
RowSample take_sample(const MixtureSpace& space, RowBlocks& blocks, int64_t rows, int64_t most_rows,
                      double held_out_share, uint64_t seed);

// Rows of both, patterns of one kind together.
RowsByPattern joined(RowsByPattern rows, const RowsByPattern& more);

// Fits one number of members after another to the same rows, by at most so many iterations from a k-means start, early
// in which members are swapped (member_swap.h).
class MixtureFitter {
 public:
  MixtureFitter(const MixtureSpace& space, const RowsByPattern& rows, const FitOptions& options,
                const Backend& backend);
  // progress(iterations done) may be empty.
  std::shared_ptr<const MixtureParameters> fit(int64_t members, int iterations,
                                               const std::function<void(int)>& progress);
  MixtureLearner& learner() { return learner_; }  // with the parameters fitted last
  const PreparedRows& rows() const { return prepared_; }
  // Of covariances, as far as rows of one member ask for it: of those of several members it is rarely more.
  int64_t most_rank() const;

 private:
  // pooled: as the learner takes it.
  MixtureFitter(const MixtureSpace& space, const RowsByPattern& rows, const FitOptions& options, const Backend& backend,
                std::vector<double> pooled);
  MixtureParameters first_parameters(int64_t members, int64_t groups) const;

  const RowsByPattern& rows_;
  uint64_t seed_;
  size_t axes_;
  bool is_low_rank_;
  MixtureLearner learner_;
  PreparedRows prepared_;
  MixtureStarter starter_;
  std::optional<MemberSwapper> swapper_;  // none of low rank
};

// The share of a mixture's rows that are nearer to the rows fitted to than to as many held out (mixture_privacy.h).
struct NearerEstimate {
  double share = 0.5, standard_error = 0;
};
inline constexpr double kMostNearer = 0.57, kNearerErrors = 2;
// Whether the share is beyond kMostNearer by more than kNearerErrors standard errors.
bool is_too_near(const NearerEstimate& estimate);
// May be empty: then nothing is too near.
using MeasureNearer = std::function<NearerEstimate(const MixtureParameters&)>;

struct MembersTrial {
  int64_t members;
  double training, held_out;             // mean log likelihoods
  std::optional<NearerEstimate> nearer;  // of a number that the likelihood allows
};

// The number of members, and how it was found.
struct MembersChoice {
  int64_t members = 1;
  std::vector<MembersTrial> trials;
};

// The largest number whose held-out likelihood is within the slack of the best and whose rows are not too near to those
// fitted to, by trials that double, as far as `operations` multiply-adds go (for trials and the fit that follows). The
// first trial's number is taken where none is so. Without variables the first trial is a single member, which is a PCA
// of the latents; it costs next to nothing.
MembersChoice choose_members(const MixtureSpace& space, const RowSample& sample, size_t columns, double operations,
                             const MeasureNearer& measure_nearer, const FitOptions& options, const Backend& backend);

}  // namespace doppel
