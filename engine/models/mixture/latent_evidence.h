// What the latents known of a row say of a mixture's members, and of the row's other latents.
//
// Two ways to the same numbers: full covariances are factorised for each pattern of known latents (member_evidence.h),
// those of low rank, covariance = F F^T + diag(r) with a noise r of its own for every latent, go by Woodbury's
// identity. With K the known latents, A = r^-1 F, M = I + F_K^T A_K, d = z - mean and x = M^-1 A_K^T d_K, the factors'
// mean given the row:
//   log N(z_K) = -1/2 (sum_K log(2 pi r) + log |M| + sum_K d^2 / r - d_K^T A_K x)
//   (Q d)_j = d_j / r_j - A_j x,  Q_jj = 1 / r_j - A_j M^-1 A_j^T      with Q = covariance_KK^-1
//   z_U given z_K = mean_U + F_U (x + M^-1/2 e) + sqrt(r_U) e'
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/models/mixture/member_evidence.h"
#include "engine/models/mixture/mixture_view.h"

namespace doppel {

struct ScoreNormal {
  double mean = 0, deviation = 0;
};

class LatentEvidence {
 public:
  virtual ~LatentEvidence() = default;
  virtual int64_t bytes() const = 0;  // of what is kept, as rows may have it in common
  virtual void clear() = 0;           // forgets it, and the row at hand
  // The row at hand: its known latents, ascending, and the scores [latents] of these. Both must outlive what follows.
  // Of what needs the members, add_constants comes first, then add_squares.
  virtual void observe(const std::vector<int32_t>& known, std::span<const double> score) = 0;
  // Of what the row knows; null where covariances are of low rank.
  virtual const LatentPattern* pattern() const = 0;
  // Add log N(known latents | member) to the row's logs [members]: what all rows that know these have in common, and
  // what depends on the scores.
  virtual void add_constants(std::span<double> logs) = 0;
  virtual void add_squares(std::span<double> logs) = 0;
  // Takes one of the known latents out of these densities again: subtracts log N(it | the others known, member).
  // Members that remain too improbable to matter may be left as they are.
  virtual void forget(int32_t latent, std::span<double> logs) = 0;
  // An unknown latent of a member given the known ones.
  virtual ScoreNormal conditional(int32_t member, int32_t latent) = 0;
  // Draws all unknown latents by so many standard normals, to score [latents].
  virtual size_t normals() const = 0;
  virtual void draw(int32_t member, std::span<const double> normals, std::span<double> score) = 0;
};

std::unique_ptr<LatentEvidence> make_latent_evidence(const MixtureView& view);

}  // namespace doppel
