/* An intrusive doubly linked ring: the head is a link of its own. */
#ifndef LEAT_BASE_LIST_H
#define LEAT_BASE_LIST_H

#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(head) \
    { \
        &(head), &(head) \
    }
#define LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))
#define LIST_EACH(link, head) \
    for (struct list *link = (head)->next; link != (head); link = link->next)
/* As LIST_EACH, and the body may remove `link`. */
#define LIST_EACH_SAFE(link, after, head) \
    for (struct list *link = (head)->next, *after = link->next; link != (head); \
         link = after, after = link->next)

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline int list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

#endif
