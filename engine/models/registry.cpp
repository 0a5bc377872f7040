// Models by name: one line a kind.
#include <string>

#include "engine/constrained_rows.h"
#include "engine/model.h"
#include "engine/models/image/image_classifier.h"
#include "engine/models/image/image_classifier_model.h"
#include "engine/models/image/image_pca.h"
#include "engine/models/image/image_vae.h"
#include "engine/models/image/image_vae_model.h"
#include "engine/models/mixture/mixture.h"
#include "engine/models/pca/pca.h"
#include "engine/models/vae/vae.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

struct TableModelKind {
  const char* name;
  void (*check)(const FitOptions&);
  std::unique_ptr<Model> (*fit)(TableSource&, const TableProfile&, const FitOptions&, const Backend&);
  std::unique_ptr<Model> (*load)(const ModelFile&);
};

constexpr TableModelKind kTableModelKinds[] = {
    {kPcaKind, check_pca_options, fit_pca, load_pca},
    {kMixtureKind, check_mixture_options, fit_mixture, load_mixture},
    {kVaeKind, check_vae_options, fit_vae, load_vae},
};

// Models of images by what --model calls them and by what their files say. A table's and an image's may be called
// alike.
struct ImageKind {
  const char* name;
  const char* file_kind;
  void (*check)(const FitOptions&);
  std::unique_ptr<Model> (*fit)(const Images&, const FitOptions&, const Backend&);
  std::unique_ptr<Model> (*load)(const ModelFile&);
};

constexpr ImageKind kImageKinds[] = {
    {"pca", kImagePcaKind, check_image_pca_options, fit_image_pca, load_image_pca},
    {"vae", kImageVaeKind, check_image_vae_options, fit_image_vae, load_image_vae},
    {"vae-dense", kImageVaeKind, check_image_vae_options, fit_dense_image_vae, load_image_vae},
    {"cnn", kClassifierKind, check_image_classifier_options, fit_image_classifier, load_image_classifier},
};

constexpr const char* kAutoKind = "auto";  // to be chosen by the table

const TableModelKind* find_kind(const std::string& name) {
  for (const TableModelKind& kind : kTableModelKinds)
    if (name == kind.name) return &kind;
  return nullptr;
}

std::string known_kinds() {
  std::string names = kAutoKind;
  for (const TableModelKind& kind : kTableModelKinds) names.append(", ").append(kind.name);
  return names;
}

const ImageKind& require_image_kind(const FitOptions& options) {
  std::string names;
  for (const ImageKind& kind : kImageKinds) {
    if (options.model == kind.name) return kind;
    names.append(names.empty() ? "" : ", ").append(kind.name);
  }
  if (options.model == kAutoKind)
    throw UsageError("the data are images, and no model of them is chosen by itself: give --model " + names);
  throw UsageError("--model '" + options.model + "' learns no images: give one of " + names);
}

bool asks_for_pca(const FitOptions& options) {
  return options.components != "auto" || options.space != "scores";
}

const TableModelKind& require_kind(const FitOptions& options) {
  if (options.model == kAutoKind) return *find_kind(asks_for_pca(options) ? kPcaKind : kMixtureKind);

  const TableModelKind* kind = find_kind(options.model);
  if (kind == nullptr) throw UsageError("--model '" + options.model + "' is none of " + known_kinds());
  return *kind;
}

}  // namespace

const Constraints& Model::constraints() const {
  static const Constraints kNone;
  return kNone;
}

std::shared_ptr<const Density> Model::density() const {
  throw UsageError("a model of kind " + kind() + " has no closed-form density: fit one with --model mixture");
}

std::shared_ptr<const Coder> Model::coder(const Backend&) const {
  throw UsageError("a model of kind " + kind() +
                   " has no codes: fit --model pca of a table, or --model vae, vae-dense or pca of images");
}

std::shared_ptr<const Generator> Model::make_generator_of(const AskedImages& asked, uint64_t, const Backend&) const {
  if (asked.temperature != 1 || asked.precision != Precision::kSingle)
    throw UsageError("--temperature, --precision: a model of kind " + kind() + " has none: VAEs of images have");
  throw UsageError("--label: a model of kind " + kind() + " makes no images: --where chooses among rows of a table");
}

ConditionedRows Model::make_generator_where(const std::string&, uint64_t, const Backend&) const {
  throw UsageError("--where: a model of kind " + kind() +
                   " draws no rows under conditions: fit one with --model mixture");
}

void check_fit_options(const FitOptions& options) {
  const TableModelKind& kind = require_kind(options);
  if (kind.name != std::string(kVaeKind) && (options.epochs != "auto" || options.latent != "auto"))
    throw UsageError("--epochs and --latent are of --model vae");
  if (options.prior != "auto" || options.texture != "auto" || options.likelihood != "auto")
    throw UsageError("--prior, --texture and --likelihood are of --model vae and vae-dense of images");
  kind.check(options);
}

std::unique_ptr<Model> fit_model(TableSource& source, const TableProfile& profile, const FitOptions& options,
                                 const Backend& backend) {
  check_fit_options(options);
  const bool is_pca = options.model == kAutoKind && !suits_mixture(profile);
  std::unique_ptr<Model> model = is_pca ? fit_pca(source, profile, options, backend)
                                        : require_kind(options).fit(source, profile, options, backend);
  return make_constrained_model(std::move(model), options.constraints, backend);
}

std::unique_ptr<Model> load_model(const ModelFile& file) {
  const auto name = file.metadata.find("kind");
  if (name == file.metadata.end() || !name->is_string())
    throw InputError("model file: it does not say what kind of model it is");
  for (const ImageKind& of_images : kImageKinds)
    if (*name == of_images.file_kind) return of_images.load(file);
  const TableModelKind* kind = find_kind(name->get<std::string>());
  if (kind == nullptr)
    throw InputError("model file: its kind '" + name->get<std::string>() + "' is none of " + known_kinds() +
                     "; it may be of a newer version");
  return load_constrained_model(kind->load(file), file);
}

void check_image_fit_options(const FitOptions& options) {
  require_image_kind(options).check(options);
}

std::unique_ptr<Model> fit_image_model(const Images& images, const FitOptions& options, const Backend& backend) {
  const ImageKind& kind = require_image_kind(options);
  kind.check(options);
  return kind.fit(images, options, backend);
}

}  // namespace doppel
