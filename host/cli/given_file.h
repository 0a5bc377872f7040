// A data file whose rows a command is given: read, again and again, within --memory.
#pragma once

#include <memory>
#include <string>

#include "engine/table/given_rows.h"
#include "host/cli/commands.h"

namespace doppel {

// Reading ends when the user interrupts. Throws InputError.
std::unique_ptr<TableSource> open_given(const std::string& path, const CommonOptions& common);

GivenLimits given_limits(const CommonOptions& common);

}  // namespace doppel
