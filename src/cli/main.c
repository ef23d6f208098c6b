#include <stdio.h>

int main(void)
{
    puts("koe");
    return 0;
}
