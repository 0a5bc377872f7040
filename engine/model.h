// A model: learned from data, saved to a model file, turned into rows. One registration line a kind
// (models/registry.cpp).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/coder.h"
#include "engine/density.h"
#include "engine/generator.h"
#include "engine/image/asked_images.h"
#include "engine/image/images.h"
#include "engine/model_file.h"
#include "engine/table/constraints.h"
#include "engine/table/profile.h"
#include "engine/training_state.h"
#include "kernels/backend.h"

namespace doppel {

struct FitOptions {
  std::string model = "auto";       // or a kind of model
  std::string members = "auto";     // of a mixture: a count, or "auto"
  std::string components = "auto";  // of pca: a count, a share of variance in (0, 1), "all", or "auto"
  std::string epochs = "auto";      // of vae: a count, at most so many, or "auto"
  std::string latent = "auto";      // of vae: a count of latents, or "auto"
  std::string prior = "auto";       // of a VAE of images: "normal", "mixture", or "auto": what describes encodings better
  std::string texture = "auto";     // of the same: a count of directions (image_texture.h), "none", or "auto"
  std::string likelihood = "auto";  // of the same, of pixels: "bernoulli" (auto) or "logistic"
  std::string space = "scores";     // or "standardised": the classic PCA on numbers as they are
  Constraints constraints;          // that every row made holds
  std::string target;               // column name; kept as the default target of `evaluate`
  uint64_t seed = 0;
  int64_t memory_bytes = int64_t{1} << 30;
  std::function<void(const std::string& stage, double fraction)> progress;  // may be empty
  TrainingKeeper keeper;                                                    // of networks of images
};

// Rows that meet conditions.
struct ConditionedRows {
  std::shared_ptr<const Generator> generator;
  double probability = 1;   // of the conditions under the model
  bool is_density = false;  // a real number's value is given: `probability` is a density
  double acceptance = 1;  // share of the tries of rows that are accepted; where it is not 1, it and the probability are
                          // counted over some tries (0.2 % and 1 % of standard error at most)
};

class Model {
 public:
  virtual ~Model() = default;
  virtual std::string kind() const = 0;  // "pca"
  virtual const TableSchema& schema() const = 0;
  virtual ModelFile save() const = 0;
  virtual std::shared_ptr<const Generator> make_generator(uint64_t seed, const Backend& backend) const = 0;
  // Rows from the exact distribution given the conditions (models/conditions.h says the language). Throws UsageError
  // for conditions that make no sense or that no row meets, and where the model's kind has no such rows.
  virtual ConditionedRows make_generator_where(const std::string& conditions, uint64_t seed,
                                               const Backend& backend) const;
  // Rows that are images as asked for. Throws UsageError for labels that the model does not know, for a temperature where
  // it has none, and where its rows are no images.
  virtual std::shared_ptr<const Generator> make_generator_of(const AskedImages& asked, uint64_t seed,
                                                             const Backend& backend) const;
  // What every row of these generators holds.
  virtual const Constraints& constraints() const;
  // The model as a density, which knows no constraints. Throws UsageError where its kind has none in closed form.
  virtual std::shared_ptr<const Density> density() const;
  // The model as a code. Throws UsageError where its kind has none. The model may go, the backend outlives the code.
  virtual std::shared_ptr<const Coder> coder(const Backend& backend) const;
  // For `inspect`, as a JSON object:
  //   "rows"                rows learned from
  //   "explained_variance"  share of each component, descending
  //   "latents"             what components are made of: a column's name, or "NAME is missing"
  //   "loadings"            an array for each component of a number for each latent
  //   "cleaning"            as profile.h's report, an object a column
  //   "constraints"         as they are written, where there are any, and
  //   "constraint_acceptance"  the share of rows that hold them before those that do not are drawn anew
  //   "provenance"          of the fit: seed, options, versions
  virtual nlohmann::json describe() const = 0;
};

// Throws UsageError for an unknown kind of model and for options that make no sense to it, whatever the table.
void check_fit_options(const FitOptions& options);

// Checks the options, then learns from a profiled source (read again from its start, as often as the model needs).
std::unique_ptr<Model> fit_model(TableSource& source, const TableProfile& profile, const FitOptions& options,
                                 const Backend& backend);
std::unique_ptr<Model> load_model(const ModelFile& file);  // throws InputError

// The same of images: options.model is a kind of model of images, and rows are an image each with its label, if there
// are any.
void check_image_fit_options(const FitOptions& options);
std::unique_ptr<Model> fit_image_model(const Images& images, const FitOptions& options, const Backend& backend);

}  // namespace doppel
