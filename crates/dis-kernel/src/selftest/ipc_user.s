# A program for ring 3 that hands messages over. Each entry uses the handles that it is given, from 0 on; what it ends with is
# said there. Calls: number in rax (see `user/calls.rs`).

.section .rodata
.balign 16
.global ipc_start, ipc_server, ipc_caller, ipc_once, ipc_sender, ipc_receiver, ipc_waiter, ipc_notifier, ipc_bad, ipc_domain
.global ipc_end
ipc_start:

# Server (0): answers a number with its double, after rdi turns of a loop.
ipc_server:
    mov r12, rdi
    sub rsp, 256
    mov eax, 16
    xor edi, edi
    mov rsi, rsp
    int 0x80
1:  cmp rax, 8
    jne ipc_leave_rax
    mov rcx, r12
2:  sub rcx, 1
    ja 2b
    shl qword ptr [rsp], 1
    mov eax, 17
    xor edi, edi
    mov rsi, rsp
    mov edx, 8
    mov r10, rsp
    int 0x80
    jmp 1b

# Client (0): asks for the double of rdi, and of each number below; 0, or what went wrong.
ipc_caller:
    mov rbx, rdi
    sub rsp, 256
1:  call ipc_ask
    cmp rax, 8
    jne ipc_leave_rax
    lea rcx, [rbx + rbx]
    mov rax, -100
    cmp [rsp + 128], rcx
    jne ipc_leave_rax
    dec rbx
    jnz 1b
    xor eax, eax
    jmp ipc_leave_rax

# Client (0): asks for the double of rdi; that, or why not.
ipc_once:
    mov rbx, rdi
    sub rsp, 256
    call ipc_ask
    cmp rax, 8
    jne ipc_leave_rax
    mov rax, [rsp + 128]
    jmp ipc_leave_rax

# The question rbx is at rsp of the caller, its answer 128 bytes above.
ipc_ask:
    mov [rsp + 8], rbx
    mov eax, 15
    xor edi, edi
    lea rsi, [rsp + 8]
    mov edx, 8
    lea r10, [rsp + 136]
    mov r8, -1
    int 0x80
    ret

# Sender (0): the numbers from 1 to rdi; 0, or why not.
ipc_sender:
    mov r12, rdi
    xor ebx, ebx
    push rbx
1:  inc rbx
    mov [rsp], rbx
    mov eax, 18
    xor edi, edi
    mov rsi, rsp
    mov edx, 8
    mov r10, -1
    int 0x80
    test rax, rax
    jnz ipc_leave_rax
    cmp rbx, r12
    jb 1b
    jmp ipc_leave_rax

# Receiver (0): the numbers from 1 on until the channel is closed; how many.
ipc_receiver:
    sub rsp, 128
    xor ebx, ebx
1:  mov eax, 19
    xor edi, edi
    mov rsi, rsp
    mov rdx, -1
    int 0x80
    cmp rax, -7
    je 2f
    cmp rax, 8
    jne ipc_leave_rax
    inc rbx
    mov rax, -100
    cmp [rsp], rbx
    je 1b
    jmp ipc_leave_rax
2:  mov rax, rbx
    jmp ipc_leave_rax

# Waiter (0): the flags.
ipc_waiter:
    push rdi
    mov eax, 21
    xor edi, edi
    mov rsi, rsp
    mov rdx, -1
    int 0x80
    test rax, rax
    jnz ipc_leave_rax
    mov rax, [rsp]
    jmp ipc_leave_rax

# Notifier (0): notifies with rdi.
ipc_notifier:
    mov rsi, rdi
    xor edi, edi
    mov eax, 20
    int 0x80
    jmp ipc_leave_rax

# rax = call \number with handle \handle and three more arguments; ends with \step unless the answer is \wanted.
.macro attempt step, number, handle, wanted, first, second, third, fourth=0
    mov r15d, \step
    mov eax, \number
    mov edi, \handle
    mov rsi, \first
    mov rdx, \second
    mov r10, \third
    mov r8, \fourth
    int 0x80
    cmp rax, \wanted
    jne ipc_step
.endm

# Client (0), server (1), sender (2), receiver (3), notifier (4), waiter (5). What must be refused: nobody hears of it, and this task goes
# on. rdi: an address of the kernel's. 0, or the step that went wrong.
ipc_bad:
    sub rsp, 264
    mov rbp, rsp
    mov r12, rdi
    mov r13, 0x4ffffff8             # the last word of the heap: more is not there
    mov r14, 0xfffffffffffffff0     # where addresses end
    lea rbx, [rip + ipc_start]      # may be read, not written
    attempt 10, 15, 0, -3, r12, 8, rbp, -1
    attempt 11, 15, 0, -3, 0x1000, 8, rbp, -1
    attempt 12, 15, 0, -3, r13, 16, rbp, -1
    attempt 13, 15, 0, -3, r14, 32, rbp, -1
    attempt 14, 15, 0, -3, rbp, 8, r12, -1
    attempt 15, 15, 0, -3, rbp, 8, rbx, -1
    attempt 16, 15, 0, -3, rbp, 8, r13, -1
    attempt 17, 15, 0, -3, rbp, 8, r14, -1
    attempt 18, 15, 0, -4, rbp, 129, rbp, -1
    attempt 19, 15, 0, -4, rbp, -1, rbp, -1
    attempt 20, 16, 1, -3, r12, 0, 0
    attempt 21, 16, 1, -3, rbx, 0, 0
    attempt 22, 17, 1, -3, r12, 8, rbp
    attempt 23, 17, 1, -3, rbp, 8, rbx
    attempt 24, 17, 1, -1, rbp, 8, rbp   # there is no question
    attempt 25, 18, 2, -3, r12, 8, -1
    attempt 26, 18, 2, -3, r14, 32, -1
    attempt 27, 18, 2, -4, rbp, 129, -1
    attempt 28, 19, 3, -3, r12, -1, 0
    attempt 29, 19, 3, -3, r13, -1, 0
    attempt 30, 19, 3, -3, rbx, -1, 0
    attempt 31, 21, 5, -3, r12, -1, 0
    attempt 32, 21, 5, -3, rbx, -1, 0
    attempt 33, 15, 2, -8, rbp, 8, rbp, -1   # not for this call
    attempt 34, 16, 0, -8, rbp, 0, 0
    attempt 35, 18, 3, -8, rbp, 8, -1
    attempt 36, 19, 2, -8, rbp, -1, 0
    attempt 37, 20, 5, -8, 1, 0, 0
    attempt 38, 21, 4, -8, rbp, -1, 0
    attempt 39, 15, 6, -8, rbp, 8, rbp, -1   # there is none
    attempt 40, 18, -1, -8, rbp, 8, -1
    attempt 41, 19, 3, -6, rbp, 0, 0   # nothing there, and no time
    attempt 42, 21, 5, -6, rbp, 0, 0
    xor r15d, r15d
ipc_step:
    mov rax, r15
    jmp ipc_leave_rax

# Sender (0), in a domain without rights: what it asks for about the task rdi is refused, but a message may be sent.
ipc_domain:
    mov rbx, rdi
    push rdi
    mov rbp, rsp
    mov r15d, 10
    mov eax, 4                      # wake, unpark, kill, priority, affinity
    call ipc_denied
    mov eax, 5
    call ipc_denied
    mov eax, 8
    call ipc_denied
    mov eax, 9
    call ipc_denied
    mov eax, 10
    call ipc_denied
    mov eax, 6                      # spawn
    xor edx, edx
    call ipc_denied
    attempt 20, 18, 0, 0, rbp, 8, -1
    xor r15d, r15d
    jmp ipc_step
ipc_denied:
    mov rdi, rbx
    mov esi, 1
    int 0x80
    cmp rax, -5
    jne ipc_step
    inc r15d
    ret

ipc_leave_rax:
    mov rdi, rax
    xor eax, eax
    int 0x80
    ud2
ipc_end:
.text
