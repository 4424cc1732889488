// What a topic's file tells at one look, without being mapped, changed or waited for.
#pragma once

#include "conveyor/topic/topic_log.hpp"

namespace conveyor {

// As TopicLog::figures; it may be torn by what goes on meanwhile. All zeros where the file is no sound topic of ours.
TopicFigures peek_topic(int memory_fd);

}  // namespace conveyor
