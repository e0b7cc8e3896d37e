#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "base/error.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kInternal, "nothing was thrown"};
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(ReadTextFile, ReadsWholeFilesAndNamesWhatItCannotRead) {
  const testing::TempFolder folder;
  EXPECT_EQ(read_text_file(folder.write("a", std::string("x\0y\n", 4))), std::string("x\0y\n", 4));
  EXPECT_EQ(read_text_file(folder.write("empty", "")), "");
  const Error missing = error_of([&] { read_text_file(folder.file("missing")); });
  EXPECT_EQ(missing.code(), ErrorCode::kNotFound);
  EXPECT_THAT(missing.what(), HasSubstr(folder.file("missing")));
  EXPECT_EQ(error_of([&] { read_text_file(folder.file("a"), 3); }).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(error_of([&] { read_text_file(folder.path()); }).code(), ErrorCode::kIo);
  EXPECT_THAT(error_of([] { read_text_file("/dev/null"); }).what(), HasSubstr("special file"));
}

TEST(MappedFile, MapsAFileAndAnEmptyOne) {
  const testing::TempFolder folder;
  const MappedFile file(folder.write("a", "hello"));
  ASSERT_EQ(file.bytes().size(), 5u);
  EXPECT_EQ(std::memcmp(file.bytes().data(), "hello", 5), 0);
  file.will_need(0, 100);
  file.dont_need(3, SIZE_MAX);
  file.dont_need(9, 1);
  EXPECT_EQ(static_cast<char>(file.bytes()[4]), 'o');
  const MappedFile empty(folder.write("empty", ""));
  EXPECT_TRUE(empty.bytes().empty());
  empty.will_need(0, 10);
}

TEST(MappedFile, RefusesMissingFilesAndFolders) {
  const testing::TempFolder folder;
  EXPECT_EQ(error_of([&] { MappedFile(folder.file("missing")); }).code(), ErrorCode::kNotFound);
  const Error error = error_of([&] { MappedFile(folder.path()); });
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_THAT(error.what(), HasSubstr("a folder"));
}

TEST(MappedFile, MovesItsBytes) {
  const testing::TempFolder folder;
  MappedFile a(folder.write("a", "aaa"));
  MappedFile b(folder.write("b", "bb"));
  a = std::move(b);
  EXPECT_EQ(a.bytes().size(), 2u);
  const MappedFile c(std::move(a));
  EXPECT_EQ(static_cast<char>(c.bytes()[1]), 'b');
  EXPECT_THAT(c.path(), HasSubstr("/b"));
}

// Reads the second page of a file that was cut to nothing while mapped.
void read_after_truncation(void* argument) {
  const auto* bytes = static_cast<const volatile std::byte*>(argument);
  const std::byte last = bytes[8191];
  (void)last;
}

TEST(BusErrorGuard, TurnsAFileThatShrankIntoAnError) {
  const testing::TempFolder folder;
  for (int round = 0; round < 3; ++round) {
    const std::string path = folder.write("big", std::string(8192, 'x'));
    const MappedFile file(path);
    fs::resize_file(path, 100);
    auto* data = const_cast<std::byte*>(file.bytes().data());
    const Error error =
        error_of([&] { with_bus_error_guard("weights", read_after_truncation, data); });
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.what(), HasSubstr("weights: the file shrank"));
  }
}

TEST(BusErrorGuard, GuardsNestedCallsAndOtherThreadsSeparately) {
  const testing::TempFolder folder;
  const std::string path = folder.write("big", std::string(8192, 'x'));
  const MappedFile file(path);
  fs::resize_file(path, 100);
  auto* data = const_cast<std::byte*>(file.bytes().data());
  const auto nested = [](void* bytes) {
    {  // nothing with a destructor is alive where the outer guard is needed
      const Error inner =
          error_of([&] { with_bus_error_guard("inner", read_after_truncation, bytes); });
      EXPECT_THAT(inner.what(), HasSubstr("inner"));
    }
    read_after_truncation(bytes);  // the outer guard is in force again
  };
  EXPECT_THAT(error_of([&] { with_bus_error_guard("outer", nested, data); }).what(),
              HasSubstr("outer"));
  std::vector<std::thread> threads;
  std::atomic<int> caught = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const Error error =
          error_of([&] { with_bus_error_guard("thread", read_after_truncation, data); });
      if (error.code() == ErrorCode::kIo) ++caught;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(caught, 4);
}

TEST(BusErrorGuard, LetsResultsAndExceptionsPass) {
  int value = 0;
  with_bus_error_guard(
      "x", [](void* v) { *static_cast<int*>(v) = 5; }, &value);
  EXPECT_EQ(value, 5);
  EXPECT_THROW(with_bus_error_guard(
                   "x", [](void*) { throw std::runtime_error("mine"); }, nullptr),
               std::runtime_error);
}

TEST(OutputFile, WritesAtPositionsFromSeveralThreads) {
  const testing::TempFolder folder;
  OutputFile file(folder.file("out"));
  file.allocate(4000);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&file, i] {
      const std::string text(1000, static_cast<char>('a' + i));
      file.write_at(static_cast<uint64_t>(i) * 1000, bytes_of(text));
    });
  }
  for (std::thread& thread : threads) thread.join();
  file.append(bytes_of("end"));
  file.sync();
  file.close();
  file.close();
  const std::string text = read_text_file(folder.file("out"));
  ASSERT_EQ(text.size(), 4003u);
  EXPECT_EQ(text[0], 'a');
  EXPECT_EQ(text[3999], 'd');
  EXPECT_EQ(text.substr(4000), "end");
}

TEST(OutputFile, SaysThatTheDiskIsFull) {
  OutputFile full("/dev/full", OutputFile::Mode::kOpenExisting);
  const Error error = error_of([&] { full.write_at(0, bytes_of("x")); });
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_THAT(error.what(), HasSubstr("/dev/full"));
  EXPECT_THAT(error.what(), HasSubstr("No space left"));
}

TEST(OutputFile, NamesAPathThatCannotBeOpened) {
  const testing::TempFolder folder;
  const std::string path = folder.file("no/such/folder/x");
  EXPECT_THAT(error_of([&] { OutputFile file(path); }).what(), HasSubstr(path));
  EXPECT_EQ(error_of([&] { OutputFile f(folder.path()); }).code(), ErrorCode::kIo);
}

TEST(WriteTextFileAtomically, ReplacesTheOldTextAndLeavesNothingBehind) {
  const testing::TempFolder folder;
  const std::string path = folder.write("a", "old and longer");
  write_text_file_atomically(path, "new");
  EXPECT_EQ(read_text_file(path), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

TEST(ReplaceFolder, MovesANewFolderIntoPlaceAndReplacesAnOldOne) {
  const testing::TempFolder folder;
  const auto stage = [&](const std::string& content) {
    fs::create_directory(folder.file("staged"));
    folder.write("staged/a", content);
    return folder.file("staged");
  };
  const std::string target = folder.file("target");
  replace_folder(stage("1"), target);
  EXPECT_EQ(read_text_file(target + "/a"), "1");
  folder.write("target/only-old", "x");
  replace_folder(stage("2"), target);
  EXPECT_EQ(read_text_file(target + "/a"), "2");
  EXPECT_FALSE(fs::exists(target + "/only-old"));
  EXPECT_FALSE(fs::exists(folder.file("staged")));
  fs::remove_all(target);
  fs::create_directory(target);  // an empty folder is simply replaced
  replace_folder(stage("3"), target + "/");
  EXPECT_EQ(read_text_file(target + "/a"), "3");
}

TEST(ReplaceFolder, SaysWhatIsMissing) {
  const testing::TempFolder folder;
  EXPECT_EQ(error_of([&] { replace_folder(folder.file("no"), folder.file("t")); }).code(),
            ErrorCode::kNotFound);
}

TEST(ReplaceFolder, RefusesToReplaceAFile) {
  const testing::TempFolder folder;
  fs::create_directory(folder.file("staged"));
  const std::string target = folder.write("target", "precious");
  EXPECT_EQ(error_of([&] { replace_folder(folder.file("staged"), target); }).code(),
            ErrorCode::kIo);
  EXPECT_EQ(read_text_file(target), "precious");
}

}  // namespace
}  // namespace glmoe
