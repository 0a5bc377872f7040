// The report of an evaluation of images: as report.h's, with pictures.
#pragma once

#include <string>

#include "engine/evaluation/image_evaluation.h"
#include "host/report/report.h"

namespace doppel {

// The images that were evaluated, with the classifier's labels or none.
struct EvaluatedImages {
  const Images& real;
  const Images& synthetic;
  const Images* holdout = nullptr;
};
// Their files.
struct EvaluatingModels {
  std::string classifier, generator;  // generator: "" where the evaluation has none
};

// The file's bytes, UTF-8. The same arguments give the same bytes where the versions of libpng and zlib are the same.
std::string make_image_report(const ImageEvaluation& evaluation, const EvaluatedImages& images,
                              const EvaluatingModels& models, const ReportContext& context);

}  // namespace doppel
