/* rfc3339.c - RFC 3339 by hand: strptime knows neither offsets nor fractions, and timegm is not in ISO C. */
#include "common/base/rfc3339.h"

/* `digits` decimal digits at *at, which moves on. */
static bool number(const char **at, int digits, unsigned *out)
{
    unsigned n = 0;

    for (; digits > 0; digits--, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        n = n * 10 + (unsigned)(**at - '0');
    }
    *out = n;
    return true;
}

static bool sign(const char **at, const char *either)
{
    bool there = **at && (**at == either[0] || **at == either[1]);

    *at += there;
    return there;
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned month_days(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first of the year, Gregorian. */
static int64_t year_days(unsigned year)
{
    int64_t y = (int64_t)year - 1; /* whole years since year 1 */

    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

bool rfc3339_parse(const char *text, uint64_t *out)
{
    unsigned year, month, day, hour, minute, second, off_hour = 0, off_minute = 0;
    const char *at = text;
    int64_t east = 1;

    if (!number(&at, 4, &year) || !sign(&at, "--") || !number(&at, 2, &month) || !sign(&at, "--") ||
        !number(&at, 2, &day) || !sign(&at, "Tt") || !number(&at, 2, &hour) || !sign(&at, "::") ||
        !number(&at, 2, &minute) || !sign(&at, "::") || !number(&at, 2, &second))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > month_days(year, month) || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    if (sign(&at, "..")) {
        unsigned digit;

        if (!number(&at, 1, &digit))
            return false;
        while (number(&at, 1, &digit))
            ;
    }
    if (!sign(&at, "Zz")) {
        east = *at == '-' ? -1 : 1;
        if (!sign(&at, "+-") || !number(&at, 2, &off_hour) || !sign(&at, "::") || !number(&at, 2, &off_minute) ||
            off_hour > 23 || off_minute > 59)
            return false;
    }
    if (*at)
        return false;
    int64_t days = year_days(year) + day - 1;

    for (unsigned m = 1; m < month; m++)
        days += month_days(year, m);
    int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - east * (off_hour * 3600 + off_minute * 60);

    if (seconds < 0)
        return false;
    *out = (uint64_t)seconds;
    return true;
}
