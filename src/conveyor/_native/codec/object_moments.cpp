#include "object_moments.hpp"

#include <datetime.h>

#include <cstring>

#include "../support/loaded.hpp"

namespace conveyor::python {
namespace {

// The values that the constructors allow. `date(b"\7\xd0\2\x1f")`, which is how pickle makes one,
// gives the 31st of February; such a thing is left to pickle, and in received bytes it is damage.
struct Date {
  int year, month, day;
  explicit Date(const std::uint8_t* from) : year(from[0] << 8 | from[1]), month(from[2]), day(from[3]) {}
  bool good() const {
    constexpr std::uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1) return false;
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= lengths[month - 1] + (leap && month == 2 ? 1 : 0);
  }
};

struct Time {
  int hour, minute, second, microsecond;
  explicit Time(const std::uint8_t* from)
      : hour(from[0]), minute(from[1]), second(from[2]), microsecond(from[3] << 16 | from[4] << 8 | from[5]) {}
  bool good() const { return hour < 24 && minute < 60 && second < 60 && microsecond < 1'000'000; }
};

struct Delta {
  std::int32_t days, seconds, microseconds;
  bool good() const {
    return days >= -999'999'999 && days <= 999'999'999 && seconds >= 0 && seconds < 86'400 && microseconds >= 0 &&
           microseconds < 1'000'000;
  }
};

// Behind a time or a datetime.
enum Flags : std::uint8_t { flag_fold = 1, flag_utc = 2 };

bool write_data(const PyDateTime_DateTime* moment, std::uint8_t flags, Buffer& into) {
  if (!Date(moment->data).good() || !Time(moment->data + 4).good()) return false;
  into.put(moment->data, 10);
  return into.put(flags), true;
}

bool write_data(const PyDateTime_Time* time, Buffer& into) {
  if (!Time(time->data).good()) return false;
  into.put(time->data, 6);
  return into.put(time->fold != 0 ? flag_fold : 0), true;
}

}  // namespace

bool find_datetime() {
  if (PyDateTimeAPI != nullptr) return true;
  PyObject* capsule = of_module("_datetime", "datetime_CAPI");
  if (capsule == nullptr) capsule = of_module("datetime", "datetime_CAPI");
  if (capsule == nullptr || !PyCapsule_IsValid(capsule, PyDateTime_CAPSULE_NAME)) return false;
  PyDateTimeAPI = static_cast<PyDateTime_CAPI*>(PyCapsule_GetPointer(capsule, PyDateTime_CAPSULE_NAME));
  keep(leaf_date, PyDateTimeAPI->DateType);
  keep(leaf_time, PyDateTimeAPI->TimeType);
  keep(leaf_datetime, PyDateTimeAPI->DateTimeType);
  keep(leaf_timedelta, PyDateTimeAPI->DeltaType);
  keep(leaf_timezone, Py_TYPE(PyDateTimeAPI->TimeZone_UTC));
  return true;
}

bool write_date(PyObject* object, Buffer& into) {
  const std::uint8_t* const data = reinterpret_cast<PyDateTime_Date*>(object)->data;
  if (!Date(data).good()) return false;
  return into.put(data, 4), true;
}

bool write_time(PyObject* object, Buffer& into) {
  const auto* const time = reinterpret_cast<PyDateTime_Time*>(object);
  return !time->hastzinfo && write_data(time, into);
}

bool write_datetime(PyObject* object, Buffer& into) {
  const auto* const moment = reinterpret_cast<PyDateTime_DateTime*>(object);
  std::uint8_t flags = moment->fold != 0 ? flag_fold : 0;
  if (moment->hastzinfo && moment->tzinfo != Py_None) {
    // Pickled as timezone(timedelta(0)), which is the only one of its kind again.
    if (moment->tzinfo != PyDateTimeAPI->TimeZone_UTC) return false;
    flags |= flag_utc;
  }
  return write_data(moment, flags, into);
}

bool write_timedelta(PyObject* object, Buffer& into) {
  const Delta delta{PyDateTime_DELTA_GET_DAYS(object), PyDateTime_DELTA_GET_SECONDS(object),
                    PyDateTime_DELTA_GET_MICROSECONDS(object)};
  if (!delta.good()) return false;
  return into.put(&delta, sizeof delta), true;
}

PyObject* zone_of(Leaf leaf, PyObject* object) {
  if (leaf == leaf_time) {
    const auto* const time = reinterpret_cast<PyDateTime_Time*>(object);
    return time->hastzinfo && time->tzinfo != Py_None ? time->tzinfo : nullptr;
  }
  if (leaf != leaf_datetime) return nullptr;
  const auto* const moment = reinterpret_cast<PyDateTime_DateTime*>(object);
  const bool other = moment->hastzinfo && moment->tzinfo != Py_None && moment->tzinfo != PyDateTimeAPI->TimeZone_UTC;
  return other ? moment->tzinfo : nullptr;
}

bool write_without_zone(Leaf leaf, PyObject* object, Buffer& into) {
  if (leaf == leaf_time) return write_data(reinterpret_cast<PyDateTime_Time*>(object), into);
  const auto* const moment = reinterpret_cast<PyDateTime_DateTime*>(object);
  return write_data(moment, moment->fold != 0 ? flag_fold : 0, into);
}

PyObject* read_with_zone(Leaf leaf, const std::uint8_t* from, PyObject* zone) {
  if (PyTZInfo_Check(zone) == 0) return nullptr;
  if (leaf == leaf_time) {
    const Time time(from);
    if (!time.good() || from[6] > flag_fold) return nullptr;
    return PyDateTimeAPI->Time_FromTimeAndFold(time.hour, time.minute, time.second, time.microsecond, zone, from[6],
                                               PyDateTimeAPI->TimeType);
  }
  const Date date(from);
  const Time time(from + 4);
  if (!date.good() || !time.good() || from[10] > flag_fold) return nullptr;
  return PyDateTimeAPI->DateTime_FromDateAndTimeAndFold(date.year, date.month, date.day, time.hour, time.minute,
                                                        time.second, time.microsecond, zone, from[10],
                                                        PyDateTimeAPI->DateTimeType);
}

PyObject* read_moment(Leaf leaf, const std::uint8_t* from) {
  switch (leaf) {
    case leaf_date: {
      const Date date(from);
      return date.good() ? PyDate_FromDate(date.year, date.month, date.day) : nullptr;
    }
    case leaf_time: {
      const Time time(from);
      if (!time.good() || from[6] > flag_fold) return nullptr;
      return PyTime_FromTimeAndFold(time.hour, time.minute, time.second, time.microsecond, from[6]);
    }
    case leaf_datetime: {
      const Date date(from);
      const Time time(from + 4);
      const std::uint8_t flags = from[10];
      if (!date.good() || !time.good() || flags > (flag_fold | flag_utc)) return nullptr;
      return PyDateTimeAPI->DateTime_FromDateAndTimeAndFold(
          date.year, date.month, date.day, time.hour, time.minute, time.second, time.microsecond,
          (flags & flag_utc) != 0 ? PyDateTimeAPI->TimeZone_UTC : Py_None, flags & flag_fold,
          PyDateTimeAPI->DateTimeType);
    }
    default: {
      Delta delta;
      std::memcpy(&delta, from, sizeof delta);
      return delta.good() ? PyDelta_FromDSU(delta.days, delta.seconds, delta.microseconds) : nullptr;
    }
  }
}

}  // namespace conveyor::python
