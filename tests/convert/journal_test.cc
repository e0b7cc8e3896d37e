#include "convert/journal.h"

#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace glmoe {
namespace {

using glmoe::testing::TempFolder;
using Entries = std::set<JournalEntry>;

TEST(Journal, GivesBackWhatWasAppended) {
  TempFolder folder;
  {
    Journal journal(folder.file("j"), "key", {{1, 2}});
    journal.append({{3, 4}, {5, uint64_t{1} << 40}});
  }
  EXPECT_EQ(Journal::read(folder.file("j"), "key"),
            (Entries{{1, 2}, {3, 4}, {5, uint64_t{1} << 40}}));
}

TEST(Journal, BelongsToItsKeyAlone) {
  TempFolder folder;
  { Journal journal(folder.file("j"), "key", {{1, 2}}); }
  EXPECT_TRUE(Journal::read(folder.file("j"), "other").empty());
  EXPECT_TRUE(Journal::read(folder.file("absent"), "key").empty());
}

TEST(Journal, AnyCutGivesAPrefixOfWhatWasWritten) {
  TempFolder folder;
  {
    Journal journal(folder.file("j"), "key", {});
    journal.append({{1, 10}, {2, 20}, {3, 30}});
  }
  const std::string text = read_text_file(folder.file("j"));
  size_t most = 0;
  for (size_t length = 0; length <= text.size(); ++length) {
    folder.write("cut", text.substr(0, length));
    const Entries entries = Journal::read(folder.file("cut"), "key");
    EXPECT_GE(entries.size(), most);
    most = entries.size();
    for (const JournalEntry& entry : entries) EXPECT_EQ(entry.offset, entry.blob * 10);
  }
  EXPECT_EQ(most, 3u);
}

TEST(Journal, StopsAtALineThatWasChanged) {
  TempFolder folder;
  {
    Journal journal(folder.file("j"), "key", {});
    journal.append({{1, 10}, {2, 20}});
  }
  std::string text = read_text_file(folder.file("j"));
  text[text.find("2 20")] = '7';
  folder.write("j", text);
  EXPECT_EQ(Journal::read(folder.file("j"), "key"), (Entries{{1, 10}}));
}

}  // namespace
}  // namespace glmoe
