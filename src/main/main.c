#include <stdio.h>

int main(void)
{
    puts("ridge " RIDGE_VERSION);
    return 0;
}
